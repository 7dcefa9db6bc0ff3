import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { VivError } from '@vivarium/model';
import { compressionOf, decompressed } from '../layers/decode.ts';
import { maximumDocumentBytes } from '../oci.ts';
import { readTar } from '../tar/reader.ts';

/** Files of a layout or archive by their names, wherever they are. */
export interface ArchiveFiles extends AsyncDisposable {
  has(name: string): boolean;
  /** @throws VivError `image_invalid` where it is not there. */
  size(name: string): Promise<number>;
  open(name: string): AsyncIterable<Uint8Array>;
}

const missing = (name: string): VivError =>
  new VivError('image_invalid', `The archive has no ${JSON.stringify(name)}`, {
    hint: 'It may have been cut short: save it again.',
  });

/** A whole small file. @throws VivError `image_invalid`. */
export async function readDocument(files: ArchiveFiles, name: string): Promise<Buffer> {
  if ((await files.size(name)) > maximumDocumentBytes)
    throw new VivError('image_invalid', `${name} is larger than 4 MiB`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of files.open(name)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

class DirectoryFiles implements ArchiveFiles {
  readonly #root: string;
  readonly #names: Set<string>;

  constructor(root: string, names: string[]) {
    this.#root = root;
    this.#names = new Set(names);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** The files are the person's own, but a link in a layout somebody else made must not lead elsewhere. */
  async #file(name: string): Promise<string> {
    if (!this.has(name)) throw missing(name);
    const file = await realpath(path.join(this.#root, name));
    if (!file.startsWith(`${await realpath(this.#root)}${path.sep}`)) {
      throw new VivError('archive_hostile', `${name} leads out of the layout`);
    }
    return file;
  }

  async size(name: string): Promise<number> {
    return (await stat(await this.#file(name))).size;
  }

  async *open(name: string): AsyncGenerator<Uint8Array> {
    yield* createReadStream(await this.#file(name), { highWaterMark: 256 * 1024 });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

interface Place {
  offset: number;
  size: number;
}

class TarFiles implements ArchiveFiles {
  readonly #file: string;
  readonly #places: Map<string, Place>;
  readonly #temporary: string | undefined;

  constructor(file: string, places: Map<string, Place>, temporary: string | undefined) {
    this.#file = file;
    this.#places = places;
    this.#temporary = temporary;
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) throw missing(name);
    return place;
  }

  async size(name: string): Promise<number> {
    return this.#place(name).size;
  }

  async *open(name: string): AsyncGenerator<Uint8Array> {
    const { offset, size } = this.#place(name);
    if (size > 0)
      yield* createReadStream(this.#file, {
        start: offset,
        end: offset + size - 1,
        highWaterMark: 256 * 1024,
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#temporary) await rm(this.#temporary, { recursive: true, force: true });
  }
}

/** Entries of an archive, at most: an image has a few hundred. */
const maximumEntries = 100_000;

/** Where every file of a tar lies in it. Links are followed: `docker save` once wrote a repeated layer as a link. */
async function tarPlaces(file: string, signal?: AbortSignal): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  const links = new Map<string, string>();
  const tar = createReadStream(file, { highWaterMark: 256 * 1024, signal });
  for await (const { entry, offset } of readTar(tar)) {
    if (places.size + links.size >= maximumEntries)
      throw new VivError('archive_invalid', 'The archive has too many entries');
    const name = path.posix.normalize(Buffer.from(entry.name, 'latin1').toString('utf8'));
    const target = Buffer.from(entry.linkName, 'latin1').toString('utf8');
    if (entry.kind === 'file') places.set(name, { offset, size: entry.size });
    else if (entry.kind === 'symlink') links.set(name, path.posix.join(path.posix.dirname(name), target));
    else if (entry.kind === 'link') links.set(name, path.posix.normalize(target));
  }
  for (const [name, target] of links) {
    const place = places.get(target);
    if (place) places.set(name, place);
  }
  // A file cut short has its last entry reach past its end; reading found that out already.
  return places;
}

async function isCompressed(file: string): Promise<boolean> {
  await using handle = await open(file, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  return compressionOf(buffer.subarray(0, bytesRead)) !== 'none';
}

/**
 * Opens a layout directory, a tar, or a gzip- or zstd-compressed tar, which is unpacked into `temporary` for as long as the
 * answer is not disposed of.
 *
 * @throws VivError `path_not_found`, `archive_invalid`, `disk_full`.
 */
export async function openArchive(
  file: string,
  temporary: string,
  signal?: AbortSignal,
): Promise<ArchiveFiles> {
  let held: string | undefined;
  try {
    const kind = await stat(file);
    if (kind.isDirectory()) {
      const names = await readdir(file, { recursive: true });
      return new DirectoryFiles(
        file,
        names.map((name) => name.split(path.sep).join('/')),
      );
    }
    if (!kind.isFile()) throw new VivError('archive_invalid', `${file} is neither a file nor a directory`);
    let plain = file;
    if (await isCompressed(file)) {
      held = await mkdtemp(path.join(temporary, 'archive-'));
      plain = path.join(held, 'tar');
      await pipeline(decompressed(createReadStream(file)), createWriteStream(plain), { signal });
    }
    const places = await tarPlaces(plain, signal);
    if (places.size === 0) throw new VivError('archive_invalid', `${file} is not an image archive`);
    return new TarFiles(plain, places, held);
  } catch (error) {
    if (held) await rm(held, { recursive: true, force: true });
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new VivError('path_not_found', `No such file or directory: ${file}`, { cause: error });
    }
    const translated = VivError.from(error);
    if (translated.code !== 'image_invalid') throw translated;
    throw new VivError('archive_invalid', `${file}: ${translated.message}`, { cause: error });
  }
}
