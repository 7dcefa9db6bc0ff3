import { mostVolumes, VivError, type VolumeMode, type VolumeMount } from '@vivarium/model';
import type { VolumeDisk } from '../drivers/driver.ts';
import type { GuestVolume } from '../guest/guest.ts';
import { createId } from '../ids.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { type AttachmentRecord, serialOf } from './record.ts';
import { checkApart, checkMode, checkPath } from './rules.ts';
import type { Volume } from './volume.ts';

interface Attached {
  instance: Instance;
  attachment: AttachmentRecord;
}

/** Who has a volume: everything follows from the instances' records, so that no two tables can disagree. */
export function attachmentsOf({ instances }: Pick<Context, 'instances'>, volumeId: string): Attached[] {
  const found: Attached[] = [];
  for (const instance of instances.all()) {
    const attachment = instance.record.volumes?.find((each) => each.volumeId === volumeId);
    if (attachment !== undefined) found.push({ instance, attachment });
  }
  return found;
}

/** The one that writes to a volume, or may. */
export const writerOf = (context: Pick<Context, 'instances'>, volumeId: string): Attached | undefined =>
  attachmentsOf(context, volumeId).find(({ attachment }) => attachment.mode === 'rw');

/**
 * The attachment that an instance with these others would have. Synchronous: whoever writes it down in the same turn has the volume, and of
 * a race there is one winner.
 *
 * @throws VivError `not_found`, `ambiguous`, `invalid_request`, `conflict`, `busy`.
 */
export function claim(
  context: Context,
  mount: VolumeMount,
  others: readonly AttachmentRecord[] = [],
): AttachmentRecord {
  const path = checkPath(mount.path);
  checkMode(mount.mode);
  const volume = context.volumes.find(mount.volume);
  volume.expectFree();
  if (others.some(({ volumeId }) => volumeId === volume.id))
    throw new VivError('conflict', `The volume ${volume.name} is attached to this instance already`);
  checkApart(
    path,
    others.map((other) => other.path),
  );
  const mode = mount.mode ?? (volume.record.readOnly ? 'ro' : 'rw');
  if (mode === 'rw') volume.expectUntouched();
  expectCompatible(context, volume, mode);
  return { volumeId: volume.id, path, mode, unit: freeUnit(others), layer: createId().slice(0, 12) };
}

/** Of several at once. @throws as {@link claim}. */
export function claimAll(context: Context, mounts: readonly VolumeMount[] = []): AttachmentRecord[] {
  const claimed: AttachmentRecord[] = [];
  for (const mount of mounts) claimed.push(claim(context, mount, claimed));
  return claimed;
}

/** One writer alone, or any number of readers. @throws VivError `conflict`. */
export function expectCompatible(
  context: Pick<Context, 'instances'>,
  volume: Volume,
  mode: VolumeMode,
): void {
  if (mode === 'rw' && volume.record.readOnly)
    throw new VivError('conflict', `The volume ${volume.name} is a snapshot: nobody may write to it`, {
      hint: 'Attach it read-only or with an overlay, or clone it.',
    });
  const inTheWay = attachmentsOf(context, volume.id).find(
    ({ attachment }) => mode === 'rw' || attachment.mode === 'rw',
  );
  if (inTheWay === undefined) return;
  const { instance, attachment } = inTheWay;
  const how = attachment.mode === 'rw' ? 'read-write' : 'read-only';
  throw new VivError('conflict', `The volume ${volume.name} is attached ${how} to ${instance.record.name}`, {
    hint:
      mode === 'rw'
        ? 'One instance alone can write to a volume; attach it read-only or with an overlay, or detach it there.'
        : 'What one instance writes to no other can read; detach it there.',
    details: { instanceId: instance.id, mode: attachment.mode },
  });
}

function freeUnit(others: readonly AttachmentRecord[]): number {
  const taken = new Set(others.map(({ unit }) => unit));
  for (let unit = 0; unit < mostVolumes; unit++) if (!taken.has(unit)) return unit;
  throw new VivError('conflict', `The instance has ${mostVolumes} volumes, and takes no more`);
}

/** The disk of a volume, as its VMM gets it. */
export function diskOf(context: Context, { volumeId, mode, unit }: AttachmentRecord): VolumeDisk {
  const volume = context.volumes.ofId(volumeId);
  const path = context.disks.path(volume.dir);
  return { serial: volume.serial, path, format: 'qcow2', readOnly: mode !== 'rw', unit };
}

/** What its guest is told. */
export function guestVolume({ volumeId, path, mode, layer }: AttachmentRecord): GuestVolume {
  return { serial: serialOf(volumeId), path, mode, layer };
}
