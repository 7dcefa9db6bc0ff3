import { homedir } from 'node:os';
import path from 'node:path';
import { VivError } from './errors.ts';

/**
 * The data directory: `$VIV_HOME`; else `/var/lib/vivarium` for root and `$XDG_DATA_HOME/vivarium` (by default
 * `~/.local/share/vivarium`) for everybody else. Always absolute; not created.
 */
export function dataDir(
  env: NodeJS.ProcessEnv = process.env,
  uid: number | undefined = process.getuid?.(),
): string {
  if (env.VIV_HOME) return path.resolve(env.VIV_HOME);
  if (uid === 0) return '/var/lib/vivarium';
  // The XDG specification tells to ignore a relative value.
  const xdg = env.XDG_DATA_HOME && path.isAbsolute(env.XDG_DATA_HOME) ? env.XDG_DATA_HOME : undefined;
  return path.join(xdg ?? path.join(env.HOME || homedir(), '.local', 'share'), 'vivarium');
}

/** Bytes of a socket's path that the kernel takes (sun_path, less its final NUL). */
const socketPathBytes = 107;

/**
 * The socket on which `vivd` listens for a data directory.
 *
 * @throws VivError `invalid_request` where the path is longer than a unix socket's may be.
 */
export function daemonSocket(home: string): string {
  const socket = path.join(home, 'vivd.sock');
  const bytes = Buffer.byteLength(socket);
  if (bytes <= socketPathBytes) return socket;
  throw new VivError(
    'invalid_request',
    `${socket} is ${bytes} bytes long; a socket's path has at most ${socketPathBytes}`,
    {
      hint: 'Choose a shorter data directory with VIV_HOME.',
    },
  );
}
