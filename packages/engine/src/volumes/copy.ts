import { type CopyVolumeOptions, formatSize, VivError } from '@vivarium/model';
import { isDiskGrower, isDiskLayerer, isDiskMerger } from '../drivers/driver.ts';
import { deadlines } from '../instances/actions.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import type { Operation } from '../operations/operation.ts';
import type { MarkedCall } from '../requests/request.ts';
import { attachmentsOf, writerOf } from './attachments.ts';
import { markOf } from './record.ts';
import { volumeBytes } from './room.ts';
import type { Volume } from './volume.ts';

/** Layers that a volume may be made of before some are merged. */
const mostLayers = 8;

/**
 * With the volume in hand, and whoever writes to it: nobody starts, stops or detaches meanwhile. `live`: a guest writes to it at this
 * moment.
 */
async function heldWith<T>(
  context: Context,
  volume: Volume,
  { action, what, signal }: { action: 'clone-volume' | 'resize-volume'; what: string; signal?: AbortSignal },
  work: (live: Instance | undefined, operation: Operation | undefined) => Promise<T>,
): Promise<T> {
  const writer = writerOf(context, volume.id)?.instance;
  if (writer === undefined) return volume.hold(what, () => work(undefined, undefined));
  return context.door.run(
    writer,
    {
      action,
      parameters: { volume: volume.id },
      deadlineMs: deadlines[action],
      signal,
      check: () => {
        if (writer.gone || writer.state === 'Stopped' || writer.state === 'Running') return undefined;
        throw new VivError(
          'conflict',
          `The volume ${volume.name} can't be ${what}: ${writer.record.name}, which writes to it, is ${writer.state}`,
          { hint: 'Let it run, stop it, or detach the volume.' },
        );
      },
    },
    (operation) => volume.hold(what, () => work(writer.state === 'Running' ? writer : undefined, operation)),
  );
}

/** A volume that begins as this one is: both stand on what has been written so far, which nobody changes any more. */
export async function copyVolume(
  context: Context,
  volume: Volume,
  options: CopyVolumeOptions & MarkedCall & { readOnly: boolean },
): Promise<Volume> {
  const { readOnly, signal, onProgress } = options;
  return heldWith(
    context,
    volume,
    { action: 'clone-volume', what: 'copied', signal },
    async (live, operation) => {
      const { volumes, disks } = context;
      const copy = await volumes.create(
        volumes.copyOptions(volume, options),
        {
          readOnly,
          sourceId: volume.id,
          ...markOf(context, options),
          // As after a power failure, where a guest writes to it: the copy has a journal to be replayed.
          ...(live !== undefined || volume.record.unclean ? { unclean: true } : {}),
        },
        async (made) => {
          onProgress?.({ stage: 'copying', name: made.name, id: made.id });
          if (live === undefined) await layerAtRest(context, volume.dir);
          else await layerLive(context, live, volume, operation);
          await disks.copy(volume.dir, made.dir);
        },
      );
      if (live !== undefined) await mergeLive(context, live, volume, operation);
      return copy;
    },
  );
}

async function layerAtRest({ disks }: Context, dir: string): Promise<void> {
  await disks.flatten(dir);
  await disks.newLayer(dir);
  await disks.commitLayer(dir);
}

async function layerLive(
  { disks, driver }: Context,
  { machine, guest }: Instance,
  volume: Volume,
  operation: Operation | undefined,
): Promise<void> {
  if (machine === undefined || !isDiskLayerer(machine))
    throw new VivError('not_supported', `The ${driver.name} driver can't copy a volume that is written to`, {
      hint: 'Stop the instance, or detach the volume.',
    });
  operation?.step('write everything to the volume');
  await guest?.sync(operation?.signal);
  operation?.step('put a layer on the volume');
  const { next } = await disks.newLayer(volume.dir);
  try {
    await machine.addLayer(volume.serial, next);
  } catch (error) {
    await disks.abandonLayer(volume.dir);
    throw error;
  }
  await disks.commitLayer(volume.dir);
}

/** Where copies have made the layers many. What can't be merged serves as well. */
async function mergeLive(
  { disks }: Context,
  instance: Instance,
  volume: Volume,
  operation: Operation | undefined,
): Promise<void> {
  const { machine } = instance;
  if (machine === undefined || operation === undefined) return;
  if (!isDiskMerger(machine) || !isDiskLayerer(machine)) return;
  try {
    const plan = await disks.planMerge(volume.dir, mostLayers);
    if (plan === undefined) return;
    await machine.mergeLayers(volume.serial, plan, operation.signal);
    await disks.settleLayer(volume.dir, await machine.topLayer(volume.serial));
  } catch (error) {
    operation.signal.throwIfAborted();
    instance.emit('warning', {
      message: `The layers of the volume ${volume.name} are not merged: ${VivError.from(error).message}`,
    });
  }
}

/** Grows it: at once in a guest that writes to it, else when one does next, or before others read it. */
export async function resizeVolume(context: Context, volume: Volume, size: number | string): Promise<void> {
  const bytes = volumeBytes(size);
  const { record } = volume;
  if (bytes < record.bytes)
    throw new VivError(
      'invalid_size',
      `A volume can't shrink from ${formatSize(record.bytes)} to ${formatSize(bytes)}`,
      { hint: 'Make a new volume with the smaller size and copy the files.' },
    );
  if (record.readOnly)
    throw new VivError('conflict', `The volume ${volume.name} is a snapshot: it stays as it is`);
  if (bytes === record.bytes) return;
  const reader = attachmentsOf(context, volume.id).find(
    ({ attachment, instance }) => attachment.mode !== 'rw' && instance.state !== 'Stopped',
  );
  if (reader !== undefined)
    throw new VivError(
      'conflict',
      `The volume ${volume.name} can't grow: ${reader.instance.record.name} reads it`,
      { hint: 'Stop that instance, or detach the volume there.' },
    );
  await heldWith(context, volume, { action: 'resize-volume', what: 'resized' }, async (live, operation) => {
    if (live === undefined) {
      await context.disks.grow(volume.dir, bytes);
      await context.volumes.change(volume, {
        bytes,
        unclean: true,
        generation: volume.record.generation + 1,
      });
      return;
    }
    const { machine, guest } = live;
    if (machine === undefined || !isDiskGrower(machine))
      throw new VivError(
        'not_supported',
        `The ${context.driver.name} driver can't grow the disk of a live VM`,
      );
    operation?.step('grow the disk');
    await machine.growDisk(volume.serial, bytes);
    await context.volumes.change(volume, { bytes });
    operation?.step('grow the file system');
    await guest?.growVolume(volume.serial, operation?.signal);
  });
}
