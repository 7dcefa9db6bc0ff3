import type { Vivarium } from '@vivarium/model';

/** The daemon of this data directory through the SDK; started first where it is not there and may be. */
export async function connectDaemon(
  env: NodeJS.ProcessEnv,
  options: { autostart: boolean },
): Promise<Vivarium> {
  const { connect } = await import('@vivarium/client');
  return connect({ env, autostart: options.autostart });
}
