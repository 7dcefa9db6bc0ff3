import { type Forward, VivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';

export const command = defineCommand<{ address?: string; host?: string; json?: boolean }>({
  arguments: '<name> <[local:]port...>',
  completes: ['instance', 'none'],
  options(parser) {
    parser
      .option('--address <address>', 'listen there', '127.0.0.1')
      .option('--host <host>', 'connect to this one, as the VM sees it (default: the VM itself)')
      .option('--json', 'print JSON, a line for each port');
  },
  notes: [
    'Until Ctrl-C, through the agent of the VM: nothing has to be published, and what listens on its loopback is reached too. ' +
      'Without a local port the same one is taken, with 0 a free one.',
  ],
  examples: [
    ['viv forward web 8080', '127.0.0.1:8080 leads to port 8080 of the VM'],
    ['viv forward db 15432:5432 0:9187', 'two ports, one of them any that is free'],
  ],
  async run(context, [name = '', ...specs], flags) {
    const ports = specs.map(parsePort);
    const vm = await (await context.vivarium()).get(name);
    await using opened = new AsyncDisposableStack();
    for (const { hostPort, guestPort } of ports) {
      const forward: Forward = opened.use(
        await vm.forward(guestPort, {
          hostPort,
          ...(flags.address === undefined ? {} : { hostAddress: flags.address }),
          ...(flags.host === undefined ? {} : { host: flags.host }),
          onRefused: ({ message }) => context.note(`viv: ${name}:${guestPort}: ${message}`),
        }),
      );
      const { hostAddress } = forward;
      const told = { hostAddress, hostPort: forward.hostPort, guestPort };
      if (flags.json) await context.printJson(told, 'line');
      else await context.print(`${hostAddress}:${forward.hostPort} -> ${vm.name}:${guestPort}\n`);
    }
    await new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      context.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    return 0;
  },
});

function parsePort(text: string): { hostPort: number; guestPort: number } {
  const [, local, guest] = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const guestPort = Number(guest);
  const hostPort = local === undefined ? guestPort : Number(local);
  if (guest !== undefined && guestPort > 0 && guestPort < 65_536 && hostPort < 65_536)
    return { hostPort, guestPort };
  throw new VivError('invalid_request', `Not a port to forward: ${JSON.stringify(text)}`, {
    hint: 'Write [LOCAL:]PORT, as in 8080, 15432:5432 or 0:80.',
  });
}
