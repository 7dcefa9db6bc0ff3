import { VivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { completionScripts } from '../completion/scripts.ts';

export const command = defineCommand({
  arguments: '<bash|zsh|fish>',
  notes: ['The script asks viv itself, so that VM and image names are completed too. It never starts vivd.'],
  examples: [
    ['source <(viv completion bash)', 'for this shell; put it into ~/.bashrc for all'],
    ['viv completion zsh > ~/.zfunc/_viv', 'zsh, with ~/.zfunc in fpath'],
    ['viv completion fish > ~/.config/fish/completions/viv.fish', 'fish'],
  ],
  async run(context, [shell = '']) {
    const script = Object.hasOwn(completionScripts, shell)
      ? completionScripts[shell as keyof typeof completionScripts]
      : undefined;
    if (script === undefined) {
      throw new VivError('invalid_request', `There is no completion for ${JSON.stringify(shell)}.`, {
        hint: `There is one for ${Object.keys(completionScripts).join(', ')}.`,
      });
    }
    await context.print(script);
    return 0;
  },
});
