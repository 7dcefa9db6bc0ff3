import { defineCommand } from '../../command.ts';
import { runConfig } from '../../configuration.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  examples: [['$EDITOR "$(viv config path)"', 'change it; it need not exist yet']],
  run: (context, _args, flags) => runConfig(context, 'path', flags),
});
