import { operationAllowed } from '@vivarium/lifecycle';
import { type CallOptions, isVivError, VivError, type VolumeMount } from '@vivarium/model';
import { isVolumePlugger, type Machine, type VolumePlugger } from '../drivers/driver.ts';
import type { Guest } from '../guest/guest.ts';
import type { Operation } from '../operations/operation.ts';
import { writeRecord } from '../store/record.ts';
import { claim, diskOf, guestVolume } from '../volumes/attachments.ts';
import { type AttachmentRecord, serialOf } from '../volumes/record.ts';
import type { Volume } from '../volumes/volume.ts';
import { deadlines, invalidState } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';

/** Milliseconds an agent has to put in order what a predecessor was killed in the middle of. */
const settleMs = 10_000;

function expectOpen(instance: Instance, action: 'attach' | 'detach'): void {
  if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);
  if (!operationAllowed(instance.state, `${action}-volume`))
    throw invalidState(instance, `${action} a volume of`, 'Start, resume or stop it first.');
}

function replace(instance: Instance, volumeId: string, attachment: AttachmentRecord | undefined): void {
  const others = (instance.record.volumes ?? []).filter((each) => each.volumeId !== volumeId);
  const volumes = attachment === undefined ? others : [...others, attachment];
  instance.change({ volumes: volumes.length === 0 ? undefined : volumes });
}

/** Written down before anything is done to the machine: whoever comes after a kill knows what to look for. */
function writeDown(context: Context, instance: Instance): void {
  context.journal.save(instance.record);
}

/** Stopped: it is there from the next start on. Running: it is there when this resolves. */
export async function attachVolume(
  context: Context,
  instance: Instance,
  mount: VolumeMount,
  call: CallOptions = {},
): Promise<void> {
  await context.door.run<void>(
    instance,
    {
      action: 'attach-volume',
      parameters: mount,
      deadlineMs: deadlines['attach-volume'],
      signal: call.signal,
      onProgress: call.onProgress,
      check: () => {
        expectOpen(instance, 'attach');
        // Judged before it is journalled; what counts is judged again, in the turn in which it is written down.
        claim(context, mount, instance.record.volumes);
        return undefined;
      },
    },
    async (operation) => {
      operation.step('take the volume');
      const attachment = claim(context, mount, instance.record.volumes);
      const volume = context.volumes.ofId(attachment.volumeId);
      operation.undo('give the volume back', () => replace(instance, volume.id, undefined));
      replace(instance, volume.id, { ...attachment, settling: 'attaching' });
      const taken =
        instance.state === 'Running'
          ? await bringIn(context, instance, attachment, volume, operation)
          : attachment;
      replace(instance, volume.id, taken);
      await writeRecord(instance.dir, instance.record);
      operation.undo('write the record', () => writeRecord(instance.dir, instance.record));
      instance.emit('volume-attached', { volumeId: volume.id, path: attachment.path, mode: attachment.mode });
    },
  );
}

async function bringIn(
  context: Context,
  instance: Instance,
  attachment: AttachmentRecord,
  volume: Volume,
  operation: Operation,
): Promise<AttachmentRecord> {
  const { machine, guest } = live(context, instance);
  writeDown(context, instance);
  operation.step('make the volume ready');
  if (attachment.mode === 'rw') await context.volumes.takeForWriting(volume);
  else await context.volumes.makeClean(volume, operation.signal);
  operation.step('plug it in');
  operation.undo('unplug it', () => unlessGone(instance, machine, () => machine.unplugVolume(volume.serial)));
  await machine.plugVolume(diskOf(context, attachment));
  operation.step('mount it');
  operation.undo('unmount it', () =>
    unlessGone(instance, machine, () =>
      guest.unmountVolume(volume.serial, { force: true }, AbortSignal.timeout(settleMs)),
    ),
  );
  await mountIn(guest, attachment, operation.signal);
  return { ...attachment, generation: volume.record.generation };
}

/** @throws VivError `not_supported` for an agent that knows no volumes. */
export async function mountIn(
  guest: Pick<Guest, 'mountVolume'>,
  attachment: AttachmentRecord,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await guest.mountVolume(guestVolume(attachment), signal);
  } catch (error) {
    throw olderAgent(error);
  }
}

function olderAgent(thrown: unknown): unknown {
  const error = VivError.from(thrown);
  if (error.code !== 'not_supported') return thrown;
  return new VivError(
    'not_supported',
    'The agent in this guest knows no volumes: an older version started it',
    {
      hint: 'Stop the instance and start it again.',
      cause: error,
    },
  );
}

function live(context: Context, instance: Instance): { machine: Machine & VolumePlugger; guest: Guest } {
  const { machine, guest } = instance;
  if (machine === undefined || guest === undefined) throw invalidState(instance, 'change the volumes of');
  if (!isVolumePlugger(machine) || !context.driver.capabilities().volumes)
    throw new VivError(
      'not_supported',
      `The ${context.driver.name} driver can't change the volumes of a live VM`,
      {
        hint: 'Stop the instance first.',
      },
    );
  return { machine, guest };
}

/** A machine that is gone has nothing to be taken back. */
async function unlessGone(instance: Instance, machine: Machine, undo: () => Promise<void>): Promise<void> {
  try {
    await undo();
  } catch (error) {
    if (instance.machine === machine) throw error;
  }
}

/** Running: unmounted, then unplugged. Where it is in use and not forced nothing has changed. */
export async function detachVolume(
  context: Context,
  instance: Instance,
  idOrName: string,
  { force = false, ...call }: CallOptions & { force?: boolean } = {},
): Promise<void> {
  await context.door.run<void>(
    instance,
    {
      action: 'detach-volume',
      parameters: { idOrName, force },
      deadlineMs: deadlines['detach-volume'],
      signal: call.signal,
      onProgress: call.onProgress,
      check: () => {
        expectOpen(instance, 'detach');
        attachmentOf(context, instance, idOrName);
        return undefined;
      },
    },
    async (operation) => {
      const attachment = attachmentOf(context, instance, idOrName);
      const { volumeId, path } = attachment;
      if (instance.state === 'Running') await takeOut(context, instance, attachment, { force, operation });
      operation.undo('keep the volume', () => replace(instance, volumeId, attachment));
      replace(instance, volumeId, undefined);
      await writeRecord(instance.dir, instance.record);
      operation.undo('write the record', () => writeRecord(instance.dir, instance.record));
      instance.emit('volume-detached', { volumeId, path });
    },
  );
}

async function takeOut(
  context: Context,
  instance: Instance,
  attachment: AttachmentRecord,
  { force, operation }: { force: boolean; operation: Operation },
): Promise<void> {
  const { machine, guest } = live(context, instance);
  const serial = serialOf(attachment.volumeId);
  operation.undo('keep the volume', () => replace(instance, attachment.volumeId, attachment));
  replace(instance, attachment.volumeId, { ...attachment, settling: 'detaching' });
  writeDown(context, instance);
  operation.step('unmount it');
  // Before it is asked for: a call that is cut off may have been carried out.
  operation.undo('mount it again', () =>
    unlessGone(instance, machine, () => putBack(context, { machine, guest }, attachment)),
  );
  await unmount(guest, serial, { force, path: attachment.path, signal: operation.signal });
  operation.step('unplug it');
  await machine.unplugVolume(serial);
  if (attachment.mode !== 'rw' || force) return;
  // Nobody has it open any more, and its journal is empty.
  await context.volumes.change(context.volumes.ofId(attachment.volumeId), { unclean: undefined });
}

/** A guest that has let go of a disk finds it again only once that has been out: what it waits for is a disk that comes. */
async function putBack(
  context: Context,
  { machine, guest }: { machine: VolumePlugger; guest: Guest },
  attachment: AttachmentRecord,
): Promise<void> {
  const serial = serialOf(attachment.volumeId);
  const late = AbortSignal.timeout(settleMs);
  try {
    if ((await guest.volumes(late)).some((volume) => volume.serial === serial)) return;
  } catch (error) {
    // An agent that knows no volumes has not let go of one.
    if (isVivError(error, 'not_supported')) return;
    throw error;
  }
  await machine.unplugVolume(serial);
  await machine.plugVolume(diskOf(context, attachment));
  await mountIn(guest, attachment, late);
}

async function unmount(
  guest: Guest,
  serial: string,
  { force, path, signal }: { force: boolean; path: string; signal: AbortSignal },
): Promise<void> {
  try {
    await guest.unmountVolume(serial, { force }, signal);
  } catch (thrown) {
    const { code, message, details } = VivError.from(thrown);
    if (code !== 'conflict' && code !== 'guest_error') throw olderAgent(thrown);
    const end =
      code === 'conflict' ? `End what uses ${path}` : 'Look at the console of the guest (`viv logs`)';
    throw new VivError(code, `The volume can't be detached: ${message}`, {
      hint: `${end}, or force it (\`viv volume detach --force\`).`,
      details,
      cause: thrown,
    });
  }
}

function attachmentOf(context: Context, instance: Instance, idOrName: string): AttachmentRecord {
  const { volumes = [], name } = instance.record;
  const exact = volumes.find(({ volumeId }) => volumeId === idOrName);
  // One that is lost can be detached by its id.
  const found = exact ?? volumes.find(({ volumeId }) => volumeId === context.volumes.find(idOrName).id);
  if (found === undefined)
    throw new VivError('not_found', `${name} has no volume ${JSON.stringify(idOrName)}`, {
      hint: 'See `viv inspect`.',
    });
  return found;
}

/** A guest that has let go of a disk does not find it again while it is plugged in: what is left of that detach is done. */
async function isKept(machine: VolumePlugger, guest: Guest | undefined, serial: string): Promise<boolean> {
  if (!(await machine.pluggedVolumes()).includes(serial)) return false;
  const mounted = await guest?.volumes(AbortSignal.timeout(settleMs));
  if (mounted === undefined || mounted.some((volume) => volume.serial === serial)) return true;
  await machine.unplugVolume(serial);
  return false;
}

/**
 * A predecessor was killed in the middle of an attach or a detach. What had not become its own is taken away, what it still has stays: an
 * attachment is whole or not there.
 */
export async function settleVolumes(context: Context, instance: Instance): Promise<void> {
  const { machine, guest } = instance;
  const alive = machine !== undefined && isVolumePlugger(machine) ? machine : undefined;
  for (const attachment of instance.record.volumes ?? []) {
    const { settling, ...settled } = attachment;
    if (settling === undefined) continue;
    const serial = serialOf(attachment.volumeId);
    if (settling === 'attaching') {
      // An agent that can't be asked finds it gone.
      await guest?.unmountVolume(serial, { force: true }, AbortSignal.timeout(settleMs));
      await alive?.unplugVolume(serial);
    }
    const kept = settling === 'detaching' && alive !== undefined && (await isKept(alive, guest, serial));
    replace(instance, attachment.volumeId, kept ? settled : undefined);
  }
  if (instance.record.volumes !== undefined) writeDown(context, instance);
}
