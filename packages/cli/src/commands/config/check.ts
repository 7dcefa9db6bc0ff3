import { defineCommand } from '../../command.ts';
import { runConfig } from '../../configuration.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  examples: [['viv config check', 'is the file right, and if not, which field is wrong']],
  run: (context, _args, flags) => runConfig(context, 'check', flags),
});
