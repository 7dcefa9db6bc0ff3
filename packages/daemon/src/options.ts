import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { dataDir, VivError } from '@vivarium/model';
import type { Rate } from './auth/buckets.ts';
import type { TcpOptions } from './auth/listener.ts';

const usage = `vivd [--home DIR] [--driver qemu|simulated] [--listen HOST:PORT]

  --home DIR           data directory (default: $VIV_HOME, /var/lib/vivarium for root, XDG's for others)
  --driver NAME        qemu (default), or simulated: VMs that exist in memory only
  --listen HOST:PORT   also on TCP, where every request needs a token (viv token create; $VIVD_TOKEN is one
                       more, which may do everything); off the loopback with TLS only
  --tls-cert FILE      certificate and its chain, PEM
  --tls-key FILE       its private key, PEM
  --allow-host NAME    a name the daemon may be asked for under, beside those of its certificate; repeatable
  --allow-origin URL   web pages of this origin may call; repeatable
  --rate-limit N[:M]   on TCP, N requests a second and M at once (default M: N) for each token
`;

export interface DaemonOptions {
  readonly home: string;
  readonly driver: 'qemu' | 'simulated';
  readonly tcp?: TcpOptions;
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
  readonly rate?: Rate;
}

/** What the command line asks for; `help` where it asks for that. @throws VivError `invalid_request`. */
export function parseOptions(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): DaemonOptions | { readonly help: string } {
  const values = parse(args);
  if (values.help) return { help: usage };
  const { driver, listen } = values;
  if (driver !== 'qemu' && driver !== 'simulated') {
    throw new VivError('invalid_request', `There is no driver ${driver}`, {
      hint: 'Known are qemu and simulated.',
    });
  }
  const tcp = listen === undefined ? undefined : parseListen(listen, values, env);
  if (tcp === undefined && (values['tls-cert'] ?? values['tls-key']) !== undefined)
    throw new VivError('invalid_request', 'TLS needs an address', { hint: 'Give --listen HOST:PORT.' });
  const rate = values['rate-limit'];
  return {
    home: values.home === undefined ? dataDir(env) : path.resolve(values.home),
    driver,
    hosts: values['allow-host'].map((host) => host.toLowerCase()),
    origins: values['allow-origin'].map(parseOrigin),
    ...(tcp === undefined ? {} : { tcp }),
    ...(rate === undefined ? {} : { rate: parseRate(rate) }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        home: { type: 'string' },
        driver: { type: 'string', default: 'qemu' },
        listen: { type: 'string' },
        'tls-cert': { type: 'string' },
        'tls-key': { type: 'string' },
        'allow-host': { type: 'string', multiple: true, default: [] },
        'allow-origin': { type: 'string', multiple: true, default: [] },
        'rate-limit': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    const { message } = cause as Error;
    throw new VivError('invalid_request', message, { hint: 'See vivd --help.', cause });
  }
}

function parseListen(
  listen: string,
  files: { 'tls-cert'?: string | undefined; 'tls-key'?: string | undefined },
  env: NodeJS.ProcessEnv,
): TcpOptions {
  const [, host, port] = /^(?:\[?([^[\]]+)\]?):(\d{1,5})$/.exec(listen) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new VivError('invalid_request', `${listen} is not HOST:PORT`);
  const { 'tls-cert': cert, 'tls-key': key } = files;
  if ((cert === undefined) !== (key === undefined))
    throw new VivError('invalid_request', 'TLS needs both --tls-cert and --tls-key');
  return {
    host,
    port: Number(port),
    ...(env.VIVD_TOKEN ? { token: env.VIVD_TOKEN } : {}),
    ...(cert === undefined || key === undefined ? {} : { tls: { cert: readPem(cert), key: readPem(key) } }),
  };
}

function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new VivError('invalid_request', `${file} can’t be read: ${(cause as Error).message}`, { cause });
  }
}

function parseOrigin(text: string): string {
  const url = URL.parse(text);
  if (url === null || url.origin === 'null' || url.origin !== text.replace(/\/$/, '').toLowerCase())
    throw new VivError('invalid_request', `${text} is not an origin`, { hint: 'As in https://ui.example.' });
  return url.origin;
}

function parseRate(text: string): Rate {
  const [, perSecond, burst = perSecond] = /^(\d{1,6}(?:\.\d{1,3})?)(?::(\d{1,6}))?$/.exec(text) ?? [];
  if (!(Number(perSecond) > 0) || !(Number(burst) >= 1))
    throw new VivError('invalid_request', `${text} is not a rate`, { hint: 'As in 50, or 0.5:10.' });
  return { perSecond: Number(perSecond), burst: Number(burst) };
}
