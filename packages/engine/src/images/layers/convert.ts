import { randomUUID } from 'node:crypto';
import { chmod, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { isVivError, VivError } from '@vivarium/model';
import { type Digest, Meter, shortDigest, verifyDigest } from '../digest.ts';
import { completeFromLower } from './complete.ts';
import { decompressed } from './decode.ts';
import type { LowerLayer } from './lower.ts';
import { type ForeignFile, rewriteLayer } from './rewrite.ts';
import { type ScannedLayer, scanLayer } from './scan.ts';
import { SquashfsWriter } from './squashfs.ts';
import { isDirectory, type Leaf } from './tree.ts';

/** A layer where it comes from: a file, or a part of an archive. Opened more than once. */
export interface LayerSource {
  /** Of the uncompressed tar, as the image's configuration says. */
  diffId: Digest;
  /** Of the bytes as they come; undefined where nobody promised one (`docker save`), or it has been verified already. */
  blob?: { digest: Digest; size: number };
  open(): AsyncIterable<Uint8Array>;
}

/** Damage in a layer's tar is damage of the image. */
function asImageError(diffId: Digest, error: unknown): VivError {
  const translated = VivError.from(error);
  if (!isVivError(translated, 'archive_invalid', 'image_invalid', 'not_supported', 'image_hostile'))
    return translated;
  const code = translated.code === 'archive_invalid' ? 'image_invalid' : translated.code;
  return new VivError(code, `Layer ${shortDigest(diffId)}: ${translated.message}`, {
    hint: translated.hint,
    cause: error,
  });
}

async function verifyBlob(source: LayerSource, seen: Meter): Promise<void> {
  if (!source.blob) return;
  let meter = seen;
  if (seen.bytes !== source.blob.size) {
    // A decoder may stop before the end of what it is given; the promise is about all of it.
    meter = new Meter();
    for await (const chunk of source.open()) meter.update(chunk);
  }
  if (meter.bytes !== source.blob.size) {
    throw new VivError(
      'image_invalid',
      `it has ${meter.bytes} bytes, not ${source.blob.size} as the manifest says`,
    );
  }
  verifyDigest('the layer', source.blob.digest, meter.digest());
}

/** Reads all of the layer once: names, attributes, digests. Nothing is written. */
export async function inspectLayer(source: LayerSource, signal?: AbortSignal): Promise<ScannedLayer> {
  const blob = new Meter();
  const content = new Meter();
  try {
    const scanned = await scanLayer(
      content.through(decompressed(blob.through(abortable(source.open(), signal)))),
    );
    await verifyBlob(source, blob);
    verifyDigest('the uncompressed layer', source.diffId, content.digest());
    return scanned;
  } catch (error) {
    throw asImageError(source.diffId, error);
  }
}

async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

/** Paths of opaque directories, as {@link LowerLayer} keeps them. */
export function opaquePaths(scanned: ScannedLayer): string[] {
  const paths: string[] = [];
  for (const { path: parts, node } of scanned.tree.walk())
    if (isDirectory(node) && node.opaque) paths.push(parts.join('/'));
  return paths;
}

async function writeSquashfs(
  source: LayerSource,
  scanned: ScannedLayer,
  foreign: ReadonlyMap<Leaf, ForeignFile>,
  file: string,
  signal?: AbortSignal,
): Promise<void> {
  const writer = new SquashfsWriter(file, signal);
  try {
    const content = new Meter();
    await rewriteLayer(
      scanned.tree,
      content.through(decompressed(abortable(source.open(), signal))),
      foreign,
      writer,
    );
    await writer.finish();
    // The file may have changed under us since it was inspected.
    verifyDigest('the uncompressed layer', source.diffId, content.digest());
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/**
 * Makes an inspected layer into a read-only squashfs file in `temporary`, synced, padded to 4096 bytes.
 *
 * @param lower The layers below, base first; looked into only where the layer needs it.
 * @returns the file; its name and place are the caller's to give. On failure nothing is left.
 */
export async function convertLayer(
  source: LayerSource,
  scanned: ScannedLayer,
  lower: readonly LowerLayer[],
  temporary: string,
  signal?: AbortSignal,
): Promise<{ file: string; sizeBytes: number; opaque: string[] }> {
  const file = path.join(temporary, `layer-${randomUUID()}`);
  let copies: string[] = [];
  try {
    let foreign: ReadonlyMap<Leaf, ForeignFile> = new Map();
    if (scanned.needsLower)
      ({ foreign, files: copies } = await completeFromLower(scanned, lower, temporary, signal));
    await writeSquashfs(source, scanned, foreign, file, signal);
    await chmod(file, 0o444);
    await using handle = await open(file, 'r');
    await handle.sync();
    return { file, sizeBytes: (await stat(file)).size, opaque: opaquePaths(scanned) };
  } catch (error) {
    await rm(file, { force: true });
    throw asImageError(source.diffId, error);
  } finally {
    await Promise.all(copies.map((copy) => rm(copy, { force: true })));
  }
}
