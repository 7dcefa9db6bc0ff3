import {
  type CallOptions,
  type CreateVolumeOptions,
  formatSize,
  isVivError,
  VivError,
} from '@vivarium/model';
import { volumeResource } from '../engine-events.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import type { MarkedCall } from '../requests/request.ts';
import { type ArchiveBounds, checkedTar, gzipped, withoutTop } from './archive.ts';
import { writerOf } from './attachments.ts';
import { markOf } from './record.ts';
import type { Upload } from './upload.ts';
import type { Volume } from './volume.ts';
import { withGuest, workPlace } from './worker.ts';

/** Milliseconds between two stages: not more often than a person can see. */
const progressMs = 100;

/** A new volume with what is in an archive: unpacked by a guest, as root, and judged on the way there. */
export function importVolume(
  context: Context,
  archive: Upload,
  options: CreateVolumeOptions,
  call: MarkedCall,
): Promise<Volume> {
  const { volumes, disks, ledger } = context;
  const signals = [call.signal, volumes.closing].filter((signal) => signal !== undefined);
  const either = AbortSignal.any(signals);
  return volumes.create(options, markOf(context, call), async (volume) => {
    const { id, name, record } = volume;
    ledger.request?.begin(volumeResource(volume));
    call.onProgress?.({ stage: 'creating', name, id });
    await disks.create(volume.dir, record.bytes, either);
    await withGuest(context, volume, { mode: 'rw', signal: either }, async (guest, inner) => {
      const told = checkedTar(archive, { bytes: record.bytes, onProgress: reporter(call) });
      try {
        await guest.copyIn('vm', workPlace, told, inner);
      } catch (error) {
        throw fits(error, record.bytes);
      }
    });
    volume.record = { ...volume.record, archive: archive.digest };
  });
}

function reporter({ onProgress }: CallOptions): ArchiveBounds['onProgress'] {
  let last = 0;
  return (receivedBytes, unpackedBytes, done) => {
    const now = performance.now();
    if (!done && now - last < progressMs) return;
    last = now;
    onProgress?.({ stage: 'unpacking', receivedBytes, unpackedBytes });
  };
}

/** The disk that is full in there is the volume. */
function fits(error: unknown, bytes: number): unknown {
  if (!isVivError(error, 'disk_full') || error.details?.errno === undefined) return error;
  return new VivError('payload_too_large', `The archive does not fit into a volume of ${formatSize(bytes)}`, {
    hint: 'Choose a larger size: the file system needs some of it.',
    cause: error,
  });
}

/** All that is in a volume as a tar.gz: through the guest that writes to it, else through one of its own. */
export async function* exportVolume(
  context: Context,
  volume: Volume,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const either = AbortSignal.any([signal, context.volumes.closing]);
  const writer = writerOf(context, volume.id);
  if (writer !== undefined && writer.instance.state !== 'Stopped') {
    const guest = guestOf(writer.instance, volume);
    const { path } = writer.attachment;
    yield* gzipped(withoutTop(guest.copyOut('root', path, { followLinks: true, signal: either })));
    return;
  }
  yield* heldWhile(volume, either, () => fromOwnGuest(context, volume, either));
}

function guestOf({ guest, state, record }: Instance, volume: Volume) {
  if (guest !== undefined && state === 'Running') return guest;
  throw new VivError(
    'conflict',
    `The volume ${volume.name} can't be exported: ${record.name}, which writes to it, is ${state}`,
    { hint: 'Let it run, stop it, or detach the volume.' },
  );
}

async function* heldWhile(
  volume: Volume,
  signal: AbortSignal,
  source: () => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const ended = Promise.withResolvers<void>();
  // Where it can't be held that is said at once, and not by what is waited for at the end.
  volume.expectUntouched();
  const held = volume.hold('exported', () => ended.promise);
  try {
    signal.throwIfAborted();
    yield* source();
  } finally {
    ended.resolve();
    await held;
  }
}

/** A guest that is read from for as long as somebody takes what it gives. */
async function* fromOwnGuest(
  context: Context,
  volume: Volume,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  await context.volumes.makeClean(volume, signal);
  const done = Promise.withResolvers<void>();
  const given = Promise.withResolvers<AsyncIterable<Uint8Array>>();
  const working = withGuest(context, volume, { mode: 'ro', signal }, async (guest, inner) => {
    given.resolve(gzipped(withoutTop(guest.copyOut('vm', workPlace, { signal: inner }))));
    await done.promise;
  });
  working.catch(given.reject);
  try {
    yield* await given.promise;
  } finally {
    done.resolve();
    await working;
  }
}
