import { defineCommand } from '../../command.ts';
import { stopDaemon } from '../../daemon-process.ts';
import { parseDuration } from '../../flags/values.ts';

export const command = defineCommand<{ timeout: string }>({
  arguments: '',
  options(parser) {
    parser.option('-t, --timeout <seconds>', 'how long it is waited for', '30');
  },
  notes: [
    'VMs go on, and the next daemon takes them over. Every command that needs a daemon starts it again.',
  ],
  examples: [['viv daemon stop', 'before an upgrade']],
  async run(context, _args, flags) {
    const timeoutMs = parseDuration(flags.timeout, '--timeout');
    const stopped = await stopDaemon(context.env, { timeoutMs, signal: context.signal });
    if (!stopped) context.note('viv: vivd was not running');
    return 0;
  },
});
