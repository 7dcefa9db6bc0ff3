import path from 'node:path';
import { daemonSocket, dataDir, type Vivarium } from '@vivarium/model';
import type { AutostartOptions } from './autostart.ts';
import { daemonAddress } from './daemon-address.ts';
import { RemoteVivarium } from './remote.ts';
import { sharedStart } from './shared-start.ts';
import { Transport } from './transport.ts';

export interface ConnectOptions {
  /** The data directory whose daemon is meant. Default `$VIV_HOME` or its default. */
  home?: string;
  /** The daemon's unix socket. Default `vivd.sock` in the data directory. */
  socket?: string;
  /**
   * A daemon's TCP address instead: `https://HOST:PORT`, or `http:` on this machine's loopback. Default `$VIV_URL`, where
   * neither `home` nor `socket` is given.
   */
  url?: string;
  /** The token for `url`. Default `$VIV_TOKEN`, or what is in the file `$VIV_TOKEN_FILE`. */
  token?: string;
  /** Certificates (PEM) to trust instead of the system's. Default what is in the file `$VIV_CA`. */
  ca?: string;
  /** Start the daemon where none answers; a function is called to do it. Default true, with a `url` false. */
  autostart?: boolean | ((options: AutostartOptions, signal?: AbortSignal) => Promise<void>);
  /** Arguments of a daemon that is started: `--listen`, `--tls-cert`, … (`vivd --help`). */
  daemonArguments?: readonly string[];
  /** Environment to look into, and to start the daemon with. Default `process.env`. */
  env?: NodeJS.ProcessEnv;
}

/**
 * Vivarium through its daemon. Nothing is connected yet: the first call does that, and starts the daemon where it must.
 *
 * @throws VivError `invalid_request` for a `url` that is none, for a token that would go over a network unencrypted, for
 * files that can't be read, or a socket's path that is too long.
 */
export function connect(options: ConnectOptions = {}): Vivarium {
  const { env = process.env, autostart = true } = options;
  const named = options.home !== undefined || options.socket !== undefined;
  const url = options.url ?? (named ? undefined : env.VIV_URL || undefined);
  if (url !== undefined) return new RemoteVivarium(new Transport(daemonAddress(url, options, env)));
  const home = options.home === undefined ? dataDir(env) : path.resolve(options.home);
  const socket = options.socket ?? daemonSocket(home);
  if (autostart === false) return new RemoteVivarium(new Transport({ socket }));
  const started = sharedStart(async (signal) => {
    // Loaded by those who find nobody there; most find somebody.
    const { accepts, startDaemon } = await import('./autostart.ts');
    const start = autostart === true ? startDaemon : autostart;
    if (!(await accepts(socket))) await start({ home, socket, env, args: options.daemonArguments }, signal);
  });
  return new RemoteVivarium(new Transport({ socket }, started));
}
