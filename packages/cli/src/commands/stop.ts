import { asyncOption } from '../background.ts';
import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { parseDuration } from '../flags/values.ts';

export const command = defineCommand<ActionFlags & { timeout?: string; force?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    asyncOption(parser)
      .option(
        '-t, --timeout <seconds>',
        "how long the guest is waited for (default: the VM's --stop-timeout)",
      )
      .option('-f, --force', 'do not ask the guest')
      .option('--json', 'print what changed as JSON, a line for each');
  },
  notes: ['Stopping a VM that is stopped changes nothing and is no error. A stop may interrupt a start.'],
  examples: [
    ['viv stop web', 'ask the guest, then force'],
    ['viv stop -f web db', 'pull the plug of both'],
  ],
  run(context, names, flags) {
    const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout, '--timeout');
    const options = {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(flags.force ? { force: true } : {}),
    };
    return actOnEach(
      context,
      names,
      flags,
      (vm) => vm.stop({ signal: context.signal, ...options }),
      (vm) => vm.stop(options),
    );
  },
});
