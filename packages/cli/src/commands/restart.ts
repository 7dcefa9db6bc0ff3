import { asyncOption } from '../background.ts';
import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { parseDuration } from '../flags/values.ts';

export const command = defineCommand<ActionFlags & { timeout?: string }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    asyncOption(parser)
      .option(
        '-t, --timeout <seconds>',
        "how long the guest is waited for (default: the VM's --stop-timeout)",
      )
      .option('--json', 'print what changed as JSON, a line for each');
  },
  examples: [['viv restart web', 'stop it and start it again']],
  run(context, names, flags) {
    const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout, '--timeout');
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    return actOnEach(
      context,
      names,
      flags,
      (vm) => vm.restart({ signal: context.signal, ...options }),
      (vm) => vm.restart(options),
    );
  },
});
