import { defineCommand } from '../command.ts';
import { version } from '../version.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  examples: [['viv version --json', 'for a program']],
  async run(context, _args, flags) {
    const facts = {
      viv: version(),
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    };
    if (flags.json) await context.printJson(facts);
    else await context.print(`viv ${facts.viv} (Node ${facts.node}, ${facts.platform})\n`);
    return 0;
  },
});
