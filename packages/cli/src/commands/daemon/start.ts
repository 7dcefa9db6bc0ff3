import { resolve } from 'node:path';
import { VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../../command.ts';
import { daemonStatus } from '../../daemon-status.ts';

interface StartFlags {
  listen?: string;
  tlsCert?: string;
  tlsKey?: string;
  allowHost?: string[];
  allowOrigin?: string[];
  rateLimit?: string;
  json?: boolean;
}

/** The daemon judges them; it is started in `/`, so that files are named from there. */
function daemonArguments(flags: StartFlags, absolute: (file: string) => string): string[] {
  const one = (name: string, value: string | undefined) => (value === undefined ? [] : [`--${name}`, value]);
  return [
    ...one('listen', flags.listen),
    ...one('tls-cert', flags.tlsCert && absolute(flags.tlsCert)),
    ...one('tls-key', flags.tlsKey && absolute(flags.tlsKey)),
    ...(flags.allowHost ?? []).flatMap((name) => one('allow-host', name)),
    ...(flags.allowOrigin ?? []).flatMap((url) => one('allow-origin', url)),
    ...one('rate-limit', flags.rateLimit),
  ];
}

export const command = defineCommand<StartFlags>({
  arguments: '',
  options(parser) {
    parser
      .option(
        '--listen <host:port>',
        'also on TCP, where every request needs a token; off the loopback with TLS',
      )
      .option('--tls-cert <file>', 'certificate and its chain, PEM')
      .option('--tls-key <file>', 'its private key, PEM')
      .option('--allow-host <name>', 'a name the daemon may be asked for under; repeatable', repeat)
      .option('--allow-origin <url>', 'web pages of this origin may call; repeatable', repeat)
      .option('--rate-limit <n[:m]>', 'on TCP, n requests a second and m at once for each token')
      .option('--json', 'print what viv daemon status --json would');
  },
  notes: [
    'Where it listens on TCP its address is printed, with the port that was bound for HOST:0.',
    'The options are for a daemon that is started: one that runs already is stopped first (viv daemon stop).',
  ],
  examples: [
    ['viv daemon start', 'have it ready before the first VM'],
    ['viv daemon start --listen 127.0.0.1:7777', 'for programs with a token: viv token create'],
    ['url=$(viv daemon start --listen 127.0.0.1:0)', 'at a port that is free'],
  ],
  async run(context, _args, flags) {
    const args = daemonArguments(flags, (file) => resolve(file));
    if (args.length > 0 && (await context.running()) !== undefined) {
      throw new VivError('conflict', 'vivd runs already, and is not told anything new', {
        hint: 'Stop it first (viv daemon stop): its VMs go on.',
      });
    }
    // Connecting alone starts nothing: the first question does.
    const status = await daemonStatus(context, await context.vivarium(args));
    if (flags.json) await context.printJson(status);
    else if (status.url !== undefined) await context.print(`${status.url}\n`);
    return 0;
  },
});
