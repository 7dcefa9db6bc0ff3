import { defineCommand } from '../../command.ts';
import { runConfig } from '../../configuration.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  notes: ['A daemon that runs goes by what the file said when it started.'],
  examples: [['viv config show', 'every field with its value, said or by default']],
  run: (context, _args, flags) => runConfig(context, 'show', flags),
});
