import path from 'node:path';
import { daemonSocket, dataDir, type Vivarium, VivError } from '@vivarium/model';
import { type AutostartOptions, accepts, startDaemon } from './autostart.ts';
import { RemoteVivarium } from './remote.ts';
import { sharedStart } from './shared-start.ts';
import { type Address, Transport } from './transport.ts';

export interface ConnectOptions {
  /** The data directory whose daemon is meant. Default `$VIV_HOME` or its default. */
  home?: string;
  /** The daemon's unix socket. Default `vivd.sock` in the data directory. */
  socket?: string;
  /** A daemon's TCP address instead: `http://host:port`. */
  url?: string;
  /** The token for `url`. */
  token?: string;
  /** Start the daemon where none answers; a function is called to do it. Default true, with `url` false. */
  autostart?: boolean | ((options: AutostartOptions, signal?: AbortSignal) => Promise<void>);
  /** Environment to look into, and to start the daemon with. Default `process.env`. */
  env?: NodeJS.ProcessEnv;
}

/**
 * Vivarium through its daemon. Nothing is connected yet: the first call does that, and starts the daemon where it must.
 *
 * @throws VivError `invalid_request` for a `url` that is not `http://HOST:PORT`, or a socket's path that is too long.
 */
export function connect(options: ConnectOptions = {}): Vivarium {
  const { env = process.env, url, token, autostart = true } = options;
  if (url !== undefined) return new RemoteVivarium(new Transport(tcpAddress(url, token)));
  const home = options.home === undefined ? dataDir(env) : path.resolve(options.home);
  const socket = options.socket ?? daemonSocket(home);
  const start = autostart === true ? startDaemon : autostart;
  if (start === false) return new RemoteVivarium(new Transport({ socket }));
  const started = sharedStart(async (signal) => {
    if (!(await accepts(socket))) await start({ home, socket, env }, signal);
  });
  return new RemoteVivarium(new Transport({ socket }, started));
}

/** Anything but plain HTTP is refused here: the token would go out unencrypted to a port that expects TLS. */
function tcpAddress(url: string, token: string | undefined): Address {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.protocol !== 'http:' || parsed.pathname !== '/')
    throw new VivError('invalid_request', `${url} is not http://HOST:PORT`, {
      hint: 'vivd speaks plain HTTP; to reach it over a network use a tunnel.',
    });
  return { url: parsed, token };
}
