import type { Action } from './actions.ts';
import { isTransient, type State } from './states.ts';

/** What cleanup needs of an instance; the engine's and the SDK's fit after a line of adapting. */
export interface Cleanable {
  state(): State | Promise<State>;
  stop(options: { timeoutMs: number; force: boolean }): Promise<unknown>;
  discard(): Promise<unknown>;
  delete(options: { force: boolean }): Promise<unknown>;
}

/** Why a cleanup did not end in Deleted. */
export class CleanupError extends Error {
  override readonly name = 'CleanupError';
  /** The state it was left in. */
  readonly state: State;

  constructor(message: string, state: State, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.state = state;
  }
}

/** What is done before the delete, per stable state. */
const firstStep: Partial<Record<State, Action>> = {
  Created: 'stop',
  Running: 'stop',
  Paused: 'stop',
  Shutdown: 'stop',
  Suspended: 'discard',
};

/**
 * Brings an instance from any stable state to Deleted and verifies it. Nothing is done for null, undefined or Deleted. A
 * stop or discard that fails is forgiven where the state ends Stopped all the same. An instance whose clone was
 * interrupted (Defined) is deleted with best effort: an error there is not reported.
 *
 * @throws CleanupError `unexpected VM state` for a transient state, or naming the step that failed, with its cause.
 */
export async function cleanup(
  instance: Cleanable | null | undefined,
  options: { timeoutMs?: number } = {},
): Promise<void> {
  if (instance === null || instance === undefined) return;
  const state = await instance.state();
  if (state === 'Deleted') return;
  if (isTransient(state)) throw new CleanupError(`unexpected VM state: ${state}`, state);
  if (state === 'Defined') return void (await instance.delete({ force: false }).catch(() => {}));
  await bringDown(instance, state, options.timeoutMs ?? 30_000);
  // Error and Unknown may still have a VMM; a delete that isn't forced would refuse the latter.
  const force = state === 'Error' || state === 'Unknown';
  await attempt(instance, 'delete', () => instance.delete({ force }), 'Deleted');
  const last = await instance.state();
  if (last !== 'Deleted') throw new CleanupError(`the instance is ${last} after its delete`, last);
}

async function bringDown(instance: Cleanable, state: State, timeoutMs: number): Promise<void> {
  const step = firstStep[state];
  if (step === 'stop') {
    await attempt(instance, step, () => instance.stop({ timeoutMs, force: false }), 'Stopped');
  } else if (step === 'discard') {
    await attempt(instance, step, () => instance.discard(), 'Stopped');
  }
}

/** Runs a step; its error counts only where the state did not come about. */
async function attempt(
  instance: Cleanable,
  step: Action,
  run: () => Promise<unknown>,
  wanted: State,
): Promise<void> {
  try {
    await run();
  } catch (error) {
    const state = await instance.state();
    if (state === wanted) return;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CleanupError(
      `${step} failed while cleaning up, the state is ${state}: ${reason}`,
      state,
      error,
    );
  }
}
