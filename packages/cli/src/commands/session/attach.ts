import { defineCommand } from '../../command.ts';
import { drive, statusOf } from '../../terminal/drive.ts';
import { requireTerminal, terminalSize } from '../../terminal/raw.ts';

export const command = defineCommand<{ stdin: boolean }>({
  arguments: '<name> <session>',
  completes: ['instance', 'none'],
  options(parser) {
    parser.option('--no-stdin', 'do not send our stdin');
  },
  notes: [
    'Shows what is still held of its output, then what comes, and takes it over from whoever was attached. Where it has a terminal ' +
      'Ctrl-P Ctrl-Q leaves; else Ctrl-C goes to the command, and the second one leaves.',
  ],
  examples: [['viv session attach web exec-1a2b', 'by id, or the beginning of one']],
  async run(context, [name = '', id = ''], flags) {
    const vm = await (await context.vivarium()).get(name);
    const session = await vm.sessions.get(id);
    const tty = session.tty && flags.stdin && context.stdin.isTTY === true;
    if (tty) requireTerminal(context);
    const abort = new AbortController();
    const signal = AbortSignal.any([context.signal, abort.signal]);
    const connection = await vm.sessions.attach(session.id, { signal });
    if (tty) await connection.resize(terminalSize(context));
    const end = await drive(context, connection, {
      interactive: flags.stdin,
      tty,
      detachable: true,
      force: async () => abort.abort(),
    });
    if (end.kind === 'detached') context.note(`\r\nviv: detached from ${session.id}; it goes on`);
    return statusOf(end);
  },
});
