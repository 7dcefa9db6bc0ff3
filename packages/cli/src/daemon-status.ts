import { daemonSocket, dataDir, type Vivarium } from '@vivarium/model';
import type { Context } from './context.ts';
import { daemonLog, daemonProcess } from './daemon-process.ts';

/** The daemon of the data directory, as `--json` prints it. */
export interface DaemonStatus {
  running: boolean;
  pid: number | undefined;
  /** RFC 3339. */
  since: string | undefined;
  home: string;
  socket: string;
  /** Where it listens on TCP, with the port that was bound. */
  url: string | undefined;
  log: string;
}

/** `answering`: the daemon, where one answers. */
export async function daemonStatus(
  { env, signal }: Pick<Context, 'env' | 'signal'>,
  answering: Vivarium | undefined,
): Promise<DaemonStatus> {
  const home = dataDir(env);
  // It is the first question that starts one.
  const { url } = (await answering?.daemon?.({ signal })) ?? {};
  const { pid, since } = daemonProcess(env) ?? {};
  return {
    running: answering !== undefined,
    pid,
    since,
    home,
    socket: daemonSocket(home),
    url,
    log: daemonLog(env),
  };
}
