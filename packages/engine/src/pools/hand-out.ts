import type { State } from '@vivarium/lifecycle';
import { abortReason, VivError, type Vm } from '@vivarium/model';
import { deadlines, invalidState } from '../instances/actions.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { writeRecord } from '../store/record.ts';
import { EngineVm } from '../vm.ts';
import type { PoolParts } from './filler.ts';

/** `marked` without a VM: it is nobody's, and may be nobody else's any more. */
export type HandOut =
  | { marked: true; vm: Vm; error?: undefined }
  | { marked: boolean; vm?: undefined; error: VivError };

/** Marks a VM as handed out, and brings it to Running. */
export async function handOut(
  { context, stage, log }: PoolParts,
  instance: Instance,
  { signal, request }: { signal: AbortSignal; request?: string },
): Promise<HandOut> {
  let marked = false;
  try {
    await markAcquired(context, instance, stage.state, { signal, request });
    marked = true;
    log.add('acquired', {}, instance.id);
    const vm = new EngineVm(context, instance);
    await stage.wake(vm, { signal });
    if (instance.state !== 'Running') throw invalidState(instance, 'acquire');
    return { marked, vm };
  } catch (thrown) {
    return { marked, error: signal.aborted ? abortReason(signal) : VivError.from(thrown) };
  }
}

/**
 * Marks a VM as handed out. Once this resolves nobody else gets it, this process and all that follow it included; when it
 * rejects it is as ready as it was.
 *
 * @throws VivError `invalid_state`, `not_found` where it is not in the state it was made ready in.
 */
async function markAcquired(
  context: Context,
  instance: Instance,
  ready: State,
  { signal, request }: { signal?: AbortSignal; request?: string },
): Promise<void> {
  // A rename that somebody happens to make is no reason to send anybody away.
  while (instance.held !== undefined) await instance.held.ended;
  const check = () => {
    if (instance.state !== ready || instance.record.pool?.acquiredAt !== undefined) {
      throw invalidState(instance, 'acquire');
    }
    return undefined;
  };
  await context.door.run<void>(
    instance,
    { action: 'acquire', deadlineMs: deadlines.acquire, signal, check },
    async (operation) => {
      const { pool } = instance.record;
      if (pool === undefined) throw invalidState(instance, 'acquire');
      operation.step('mark it as handed out');
      operation.undo('take the mark back', async () => {
        instance.change({ pool });
        await writeRecord(instance.dir, instance.record);
      });
      instance.change({
        pool: {
          ...pool,
          acquiredAt: new Date().toISOString(),
          ...(request === undefined ? {} : { request }),
        },
      });
      await writeRecord(instance.dir, instance.record);
      // The caller may have gone meanwhile.
      operation.signal.throwIfAborted();
    },
  );
}

/** It has ended in the hands of its holder. Should this not be written, the next process sees it by its exit. */
export function markReplaced(context: Context, instance: Instance): void {
  const { pool } = instance.record;
  if (pool === undefined) return;
  instance.change({ pool: { ...pool, replaced: true } });
  try {
    context.journal.save(instance.record);
  } catch (error) {
    instance.emit('warning', {
      message: `That it was replaced is not written: ${VivError.from(error).message}`,
    });
  }
}
