import { rename, rm } from 'node:fs/promises';
import { operationAllowed } from '@vivarium/lifecycle';
import { type ActionResult, type CallOptions, VivError } from '@vivarium/model';
import { deadlines, invalidState } from '../instances/actions.ts';
import { savedDir } from '../instances/capture.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { linkState, type Origin } from '../instances/origin.ts';
import { writeRecord } from '../store/record.ts';
import { expectAsSaved } from '../volumes/in-use.ts';
import type { StoredSnapshot } from './shelf.ts';

/**
 * Stopped or Suspended -> what the snapshot was: Suspended where it has memory, else Stopped. Identity, address and ports stay; the
 * generation rises with the next start.
 */
export function restoreInPlace(
  context: Context,
  instance: Instance,
  { info }: StoredSnapshot,
  originOf: () => Promise<Origin>,
  call: CallOptions,
): Promise<ActionResult> {
  return context.door.run(
    instance,
    {
      action: 'restore-in-place',
      parameters: { snapshot: info.id },
      deadlineMs: deadlines.restore,
      signal: call.signal,
      onProgress: call.onProgress,
      check: () => {
        if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);
        if (!operationAllowed(instance.state, 'restore-in-place'))
          throw invalidState(instance, 'restore', 'Stop or suspend it first.');
        return undefined;
      },
    },
    async (operation) => {
      operation.step('look at the snapshot');
      const origin = await originOf();
      if (origin.state !== undefined) expectAsSaved(context, origin.record.volumes, instance.record.volumes);
      operation.step('put it in place');
      // What follows replaces what is there, and is done again after a kill: there is no way back from here.
      instance.change({ restoring: { snapshotId: info.id } });
      context.journal.save(instance.record);
      await putInPlace(context, instance, origin, info.id);
      instance.emit('restored', { id: info.id, name: info.name });
      return { changed: true, state: instance.state };
    },
  );
}

/** Memory that does not belong to the disk goes first, and memory that does comes last. Can be done again. */
export async function putInPlace(
  context: Context,
  instance: Instance,
  origin: Origin,
  snapshotId: string,
): Promise<void> {
  const saved = savedDir(instance);
  instance.change({ suspended: undefined });
  context.journal.save(instance.record);
  await rm(saved, { recursive: true, force: true });
  await rm(`${saved}.new`, { recursive: true, force: true });
  await context.disks.copy(origin.dir, instance.dir);
  if (origin.state !== undefined) {
    await linkState(origin.dir, `${saved}.new`);
    await rename(`${saved}.new`, saved);
  }
  const { spec, suspended } = origin.record;
  instance.change({
    restoring: undefined,
    snapshotId,
    // The disk is as large as it was then.
    spec: { ...instance.record.spec, diskBytes: spec.diskBytes },
    ...(origin.state === undefined
      ? {}
      : {
          suspended: {
            at: new Date().toISOString(),
            was:
              origin.was === 'paused' || suspended?.was === 'paused'
                ? ('paused' as const)
                : ('running' as const),
            frozen: origin.frozen,
            layered: true as const,
          },
        }),
  });
  await writeRecord(instance.dir, instance.record);
}
