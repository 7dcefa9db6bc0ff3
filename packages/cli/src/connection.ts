import type { Vivarium } from '@vivarium/model';

export interface ConnectionOptions {
  autostart: boolean;
  /** For the command line of a daemon that is started. */
  daemonArguments?: readonly string[];
}

/**
 * The daemon of this data directory through the SDK. With autostart it is started by the first call where it is not there.
 *
 * @throws VivError `daemon_unreachable` where it is not there and may not be started.
 */
export async function connectDaemon(env: NodeJS.ProcessEnv, options: ConnectionOptions): Promise<Vivarium> {
  const { connect } = await import('@vivarium/client');
  const vivarium = connect({ env, ...options });
  // Nothing has been connected yet; whoever wants no start wants to know whether there is somebody.
  if (!options.autostart) await vivarium.list({ limit: 1 });
  return vivarium;
}
