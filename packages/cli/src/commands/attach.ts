import { defineCommand } from '../command.ts';
import { drive, statusOf } from '../terminal/drive.ts';
import { requireTerminal, terminalSize } from '../terminal/raw.ts';

export const command = defineCommand<{ stdin: boolean; tty?: boolean }>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('--no-stdin', 'do not send our stdin')
      .option('-t, --tty', 'send keys as they are typed, for a VM made with -t');
  },
  notes: [
    "Shows what is still held of the output, then what comes. Ctrl-P Ctrl-Q leaves with -t. Without -t, Ctrl-C goes to the VM's " +
      'command, and the second one leaves.',
  ],
  examples: [['viv attach -t shell', 'back into a VM that was made with -dit']],
  async run(context, [name = ''], flags) {
    const tty = flags.tty === true;
    if (tty) requireTerminal(context);
    const vm = await (await context.vivarium()).get(name);
    const abort = new AbortController();
    const connection = await vm.attach({
      signal: AbortSignal.any([context.signal, abort.signal]),
      ...(tty ? { tty: terminalSize(context) } : {}),
    });
    // Leaving never ends a command that somebody else started.
    const end = await drive(context, connection, {
      interactive: flags.stdin,
      tty,
      detachable: true,
      force: async () => abort.abort(),
    });
    if (end.kind === 'detached') context.note(`\r\nviv: detached from ${vm.name}; it goes on`);
    return statusOf(end);
  },
});
