import path from 'node:path';
import { daemonSocket, dataDir, type Vivarium } from '@vivarium/model';
import { type AutostartOptions, accepts, startDaemon } from './autostart.ts';
import { RemoteVivarium } from './remote.ts';
import { Transport } from './transport.ts';

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
 */
export function connect(options: ConnectOptions = {}): Vivarium {
  const { env = process.env, url, token, autostart = true } = options;
  if (url !== undefined) return new RemoteVivarium(new Transport({ url: new URL(url), token }));
  const home = options.home === undefined ? dataDir(env) : path.resolve(options.home);
  const socket = options.socket ?? daemonSocket(home);
  const start = autostart === true ? startDaemon : autostart;
  if (start === false) return new RemoteVivarium(new Transport({ socket }));
  let starting: Promise<void> | undefined;
  const revive = async (signal?: AbortSignal) => {
    if (await accepts(socket)) return;
    // Calls that find it gone at the same time wait for one start.
    starting ??= start({ home, socket, env }, signal).finally(() => {
      starting = undefined;
    });
    await starting;
  };
  return new RemoteVivarium(new Transport({ socket }, revive));
}
