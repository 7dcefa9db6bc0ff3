import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type CallOptions, VivError } from '@vivarium/model';
import type { Candidate } from './candidate.ts';
import { type Catalog, type ImageRecord, imageFiles } from './catalog.ts';
import { parseConfig } from './config.ts';
import { digestHex, digestOf } from './digest.ts';
import { writeLayerDisk } from './disk/layer-disk.ts';
import { publish, syncDirectory, writeFileSynced } from './durable.ts';
import { mayStillCome } from './lasting.ts';
import type { LayerCache, LayerFile } from './layers/cache.ts';
import { emptyLayer } from './layers/empty.ts';

/** Brings all layers of a candidate into the cache. On failure the others are stopped, and all have ended. */
async function provideLayers(
  candidate: Candidate,
  cache: LayerCache,
  claimed: string[],
  { signal, onProgress }: CallOptions,
): Promise<LayerFile[]> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  // A disk without a partition is nothing a guest could stack.
  const layers = candidate.layers.length > 0 ? candidate.layers : [emptyLayer()];
  const provided: Promise<LayerFile>[] = [];
  for (const layer of layers) {
    const below = provided.slice();
    const providing = cache.provide(layer, () => Promise.all(below), claimed, { signal: either, onProgress });
    providing.catch((error) => failed.abort(error));
    provided.push(providing);
  }
  const results = await Promise.allSettled(provided);
  if (results.every((result) => result.status === 'fulfilled')) return results.map((result) => result.value);
  throw VivError.from(signal?.aborted ? signal.reason : failed.signal.reason);
}

async function writeImage(dir: string, candidate: Candidate, record: ImageRecord): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFileSynced(path.join(dir, imageFiles.manifest), candidate.manifest);
  await writeFileSynced(path.join(dir, imageFiles.config), candidate.config);
  const visible = record.layers.slice(record.firstLayer);
  const extents = visible.map(({ key, sizeBytes }) => ({
    file: `../../layers/${key}.sqfs`,
    bytes: sizeBytes,
  }));
  await writeLayerDisk(dir, extents, digestHex(record.digest));
  await writeFileSynced(path.join(dir, imageFiles.record), `${JSON.stringify(record, undefined, 2)}\n`);
  await syncDirectory(dir);
}

export interface IntakeRoom {
  catalog: Catalog;
  cache: LayerCache;
  temporary: string;
  /** One change of the catalog at a time. */
  exclusive<T>(change: () => Promise<T>): Promise<T>;
}

/** Gives a stored image the candidate's names. False where it isn't stored, or a layer of it has gone. */
async function nameStored(
  digest: string,
  candidate: Candidate,
  { catalog, cache }: IntakeRoom,
): Promise<boolean> {
  const known = catalog.image(digest);
  if (!known) return false;
  const there = await Promise.all(known.record.layers.map((layer) => cache.exists(layer.key)));
  if (!there.every(Boolean)) return false;
  await catalog.update((_, references) => {
    for (const reference of candidate.references) references.set(reference, digest);
  });
  return true;
}

async function addImage(
  digest: string,
  candidate: Candidate,
  layers: LayerFile[],
  room: IntakeRoom,
): Promise<void> {
  const parsed = parseConfig(candidate.config, candidate.layers.length);
  const record: ImageRecord = {
    format: 1,
    digest,
    importedAt: new Date().toISOString(),
    layers: layers.map(({ key, sizeBytes }, at) => ({
      digest: candidate.layers[at]?.digest ?? emptyLayer().digest,
      key,
      sizeBytes,
    })),
    firstLayer: Math.max(
      0,
      layers.findLastIndex((layer) => layer.opaque.includes('')),
    ),
  };
  const temporary = path.join(room.temporary, `image-${randomUUID()}`);
  const dir = room.catalog.imageDir(digest);
  try {
    await writeImage(temporary, candidate, record);
    // Nothing the catalog knows: what a crash between the next two lines left.
    await rm(dir, { recursive: true, force: true });
    await publish(temporary, dir);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await room.catalog.update((images, references) => {
    images.set(digest, { record, parsed });
    for (const reference of candidate.references) references.set(reference, digest);
  });
}

/** Removes the layers of an image that will not come. */
async function forgetLayers(failure: VivError, keys: readonly string[], room: IntakeRoom): Promise<void> {
  if (mayStillCome(failure)) return;
  await room.exclusive(async () => {
    const kept = room.catalog.layerKeys();
    for (const key of keys) if (!kept.has(key)) await room.cache.remove(key);
  });
}

/**
 * Takes an image into the store: layers, directory, and last its entry in the catalog.
 *
 * @returns its digest.
 */
export async function takeIn(candidate: Candidate, room: IntakeRoom, options: CallOptions): Promise<string> {
  const digest = digestOf(candidate.manifest);
  const claimed: string[] = [];
  let failure: VivError | undefined;
  try {
    parseConfig(candidate.config, candidate.layers.length);
    if (!(await room.exclusive(() => nameStored(digest, candidate, room)))) {
      const layers = await provideLayers(candidate, room.cache, claimed, options);
      await room.exclusive(async () => {
        options.signal?.throwIfAborted();
        if (!(await nameStored(digest, candidate, room))) await addImage(digest, candidate, layers, room);
      });
    }
  } catch (error) {
    failure = VivError.from(error);
  }
  room.cache.release(claimed);
  if (failure) {
    await forgetLayers(failure, claimed, room);
    throw failure;
  }
  options.onProgress?.({ stage: 'image-ready', digest, reference: candidate.references[0] ?? digest });
  return digest;
}
