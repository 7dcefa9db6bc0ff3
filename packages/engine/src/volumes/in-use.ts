import { VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import type { Operation } from '../operations/operation.ts';
import { expectCompatible } from './attachments.ts';
import type { AttachmentRecord } from './record.ts';

/*
 * What the volumes of an instance have to be before its machine lives, and what becomes of them when its memory is put away.
 */

const volumesOf = (instance: Instance): readonly AttachmentRecord[] => instance.record.volumes ?? [];

/**
 * Before a VMM opens their disks. `fromMemory`: a guest that has them mounted goes on; else what it finds there now is what it will know.
 *
 * @throws VivError `busy` while one is copied, `not_found`, `conflict`.
 */
export async function readyVolumes(
  context: Context,
  instance: Instance,
  operation: Operation,
  { fromMemory }: { fromMemory: boolean },
): Promise<void> {
  if (volumesOf(instance).length === 0) return;
  operation.step('make the volumes ready');
  const ready: AttachmentRecord[] = [];
  for (const attachment of volumesOf(instance)) {
    const volume = context.volumes.ofId(attachment.volumeId);
    volume.expectFree();
    if (attachment.mode === 'rw') {
      volume.expectUntouched();
      await context.volumes.takeForWriting(volume);
      // Snapshots and suspends leave layers; each of them would be looked through at every read.
      await context.disks.flatten(volume.dir, operation.signal);
    } else await context.volumes.makeClean(volume, operation.signal);
    const { generation } = volume.record;
    ready.push(fromMemory ? attachment : { ...attachment, generation });
  }
  instance.change({ volumes: ready });
}

/**
 * Memory in which a volume is mounted for writing knows what its disk holds: a copy of the memory would write to what another one
 * writes to, or go on with what the disk no longer is.
 *
 * @throws VivError `not_supported` for a copy, `conflict` for a snapshot.
 */
export function expectSaveable(instance: Instance, what: 'fork' | 'snapshot'): void {
  const writable = volumesOf(instance).filter(({ mode }) => mode === 'rw');
  const [first] = writable;
  if (first === undefined) return;
  if (what === 'fork')
    throw new VivError(
      'not_supported',
      `${instance.record.name} has a volume that it writes to at ${first.path}: two instances can't share that`,
      { hint: 'Detach it first, or attach it read-only or with an overlay.' },
    );
  if (instance.state === 'Stopped') return;
  throw new VivError(
    'conflict',
    `${instance.record.name} writes to a volume at ${first.path}: its memory can't be kept in a snapshot without that`,
    {
      hint: 'Detach it, attach it read-only or with an overlay, or stop the instance: a snapshot then has the root disk alone.',
    },
  );
}

/**
 * Memory that was saved under `then` is about to go on in an instance that has volumes now.
 *
 * @throws VivError `conflict` where it would not find what it has mounted.
 */
export function expectAsSaved(
  context: Context,
  then: readonly AttachmentRecord[] = [],
  now: readonly AttachmentRecord[] = [],
): void {
  const differs = (message: string) =>
    new VivError('conflict', message, {
      hint: 'Attach and detach volumes until they are as they were, or take the disk alone: start it cold, or copy it to `stopped`.',
    });
  const more = now.find(({ volumeId }) => !then.some((each) => each.volumeId === volumeId));
  if (more !== undefined)
    throw differs(`The saved memory has no volume mounted at ${more.path}, and the instance has`);
  for (const attachment of then) {
    const same = now.find(({ volumeId }) => volumeId === attachment.volumeId);
    if (same?.path !== attachment.path || same.mode !== attachment.mode || same.unit !== attachment.unit)
      throw differs(`The saved memory has a volume mounted at ${attachment.path} that the instance has not`);
    if (attachment.mode === 'rw') continue;
    const { record } = context.volumes.ofId(attachment.volumeId);
    if (record.generation !== attachment.generation)
      throw differs(`The volume ${record.name} has been written to since the memory was saved`);
  }
}

/** Those of a copy: it reads what its source reads. @throws VivError `conflict`, `not_supported`. */
export function expectShareable(context: Context, attachments: readonly AttachmentRecord[] = []): void {
  for (const { volumeId, mode, path } of attachments) {
    if (mode === 'rw')
      throw new VivError(
        'not_supported',
        `A copy can't have the volume at ${path}, which its source writes to`,
      );
    const volume = context.volumes.ofId(volumeId);
    volume.expectFree();
    expectCompatible(context, volume, mode);
  }
}

/** As {@link expectShareable} was judged, in the turn in which a copy gets them. @throws VivError `conflict`. */
export function expectStillShareable(context: Context, attachments: readonly AttachmentRecord[] = []): void {
  for (const { volumeId, mode } of attachments)
    expectCompatible(context, context.volumes.ofId(volumeId), mode);
}

/** Each of them writable by this instance alone. */
function writableDirs(context: Context, instance: Instance): string[] {
  return volumesOf(instance)
    .filter(({ mode }) => mode === 'rw')
    .map(({ volumeId }) => context.volumes.ofId(volumeId).dir);
}

/** As its root disk: what was written up to the save lies in a layer of its own. No VMM has it open. */
export async function layerVolumes(context: Context, instance: Instance): Promise<void> {
  for (const dir of writableDirs(context, instance)) {
    await context.disks.settleLayer(dir);
    await context.disks.newLayer(dir);
    await context.disks.commitLayer(dir);
  }
}

/** A start from saved memory has failed: what it wrote is given up, as on its root disk. */
export async function dropVolumeTops(context: Context, instance: Instance): Promise<void> {
  for (const dir of writableDirs(context, instance)) await context.disks.dropTop(dir);
}
