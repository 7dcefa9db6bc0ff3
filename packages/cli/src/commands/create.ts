import { type AsyncFlags, asyncOption, printDetached } from '../background.ts';
import { defineCommand } from '../command.ts';
import { type CreateFlags, createOptions, parseCreate } from '../flags/create.ts';
import { withoutSeparator } from '../flags/values.ts';
import { progressView } from '../render/progress.ts';
import { terminalSize } from '../terminal/raw.ts';

export const command = defineCommand<CreateFlags & AsyncFlags & { quiet?: boolean }>({
  arguments: '<image> [command...]',
  passThrough: true,
  completes: ['image', 'none'],
  options(parser) {
    createOptions(parser);
    asyncOption(parser).option('-q, --quiet', 'no progress').option('--json', 'print the VM as JSON');
  },
  examples: [
    ['viv create --name db -m 512MB busybox -- sleep 1000', 'make it now, start it later'],
    ['viv start db', 'start it'],
  ],
  async run(context, [image = '', ...words], flags) {
    const options = parseCreate(flags, image, withoutSeparator(words), context.env);
    if (flags.tty) options.tty = terminalSize(context);
    const vivarium = await context.vivarium();
    if (flags.async) return printDetached(context, vivarium.create(options), flags);
    using progress = progressView(context, { quiet: flags.quiet });
    const vm = await vivarium.create(options, { signal: context.signal, onProgress: progress.onProgress });
    progress[Symbol.dispose]();
    await (flags.json ? context.printJson(vm.info) : context.print(`${vm.name}\n`));
    return 0;
  },
});
