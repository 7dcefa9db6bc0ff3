import type { Duplex } from 'node:stream';
import { isVivError } from '@vivarium/model';
import type { GuestExecConnection } from '../guest/guest.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { startInstance } from '../instances/start.ts';
import { orAborted } from '../or-aborted.ts';
import { mayWake } from './policy.ts';
import type { UseKind } from './uses.ts';

/**
 * Returns once the instance is awake, where it sleeps and use may wake it; at once where it does not or may not. One that is just being
 * suspended for being idle is not, any more. However many come at once, it is started once.
 *
 * @throws VivError what the start throws, or the signal's reason.
 */
export async function awake(
  context: Context,
  instance: Instance,
  by: UseKind,
  signal?: AbortSignal,
): Promise<void> {
  for (;;) {
    const { operation, state } = instance;
    if (isGoingToSleep(instance) && operation !== undefined) {
      if (operation.yields) operation.interrupt('use of the instance');
      await orAborted(operation.ended, signal);
      continue;
    }
    const sleeps = state === 'Suspended' && mayWake(instance);
    if (!sleeps && !(state === 'Restoring' && operation?.action === 'start')) return;
    if (sleeps && operation === undefined) instance.emit('waking', { by });
    try {
      await startInstance(context, instance, { signal });
      return;
    } catch (error) {
      if (!isVivError(error, 'busy')) throw error;
      await orAborted(instance.operation?.ended ?? Promise.resolve(), signal);
    }
  }
}

/** In the turn in which it is called, so that what is asked of a VM that is awake happens in the order in which it was asked. */
function wakeFirst(...[context, instance, by, signal]: Parameters<typeof awake>): Promise<void> | undefined {
  const { state } = instance;
  const asleep = state === 'Suspended' || state === 'Restoring' || isGoingToSleep(instance);
  return asleep ? awake(context, instance, by, signal) : undefined;
}

/** While it runs on for a moment because somebody has only just asked, what is asked of it is done, and goes on afterwards. */
function isGoingToSleep({ operation, state }: Instance): boolean {
  return operation?.action === 'suspend' && (operation.yields || state !== 'Running');
}

/** Does something with an instance that is awake, and counts as a use of it meanwhile. */
export async function using<T>(
  context: Context,
  instance: Instance,
  kind: UseKind,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  using _use = instance.uses.begin(kind);
  const waking = wakeFirst(context, instance, kind, signal);
  if (waking !== undefined) await waking;
  return await work();
}

/** Opens a session, which counts as a use until its command has ended or it was let go of. */
export async function usingSession<T extends GuestExecConnection>(
  context: Context,
  instance: Instance,
  kind: 'exec' | 'attach',
  open: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const use = instance.uses.begin(kind);
  const end = () => use[Symbol.dispose]();
  try {
    const waking = wakeFirst(context, instance, kind, signal);
    if (waking !== undefined) await waking;
    const session = await open();
    session.exit.then(end, end);
    return session;
  } catch (error) {
    end();
    throw error;
  }
}

/** Opens a stream, which counts as a use until it is closed. A console wakes nobody: who looks does not touch. */
export async function usingStream(
  context: Context,
  instance: Instance,
  kind: 'tunnel' | 'console',
  open: () => Promise<Duplex>,
  signal?: AbortSignal,
): Promise<Duplex> {
  const use = instance.uses.begin(kind);
  try {
    const waking = kind === 'tunnel' ? wakeFirst(context, instance, kind, signal) : undefined;
    if (waking !== undefined) await waking;
    const stream = await open();
    stream.once('close', () => use[Symbol.dispose]());
    if (stream.destroyed) use[Symbol.dispose]();
    return stream;
  } catch (error) {
    use[Symbol.dispose]();
    throw error;
  }
}
