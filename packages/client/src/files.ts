import type { DirectoryEntry, PathInfo, FileChange as WireChange } from '@vivarium/api';
import { changeFromWire, entryFromWire, ndjson, statFromWire } from '@vivarium/api/wire';
import {
  type AskOptions,
  type CopyOptions,
  type DirectoryOptions,
  type FileAttributes,
  type FileChange,
  type FileEntry,
  type FileStat,
  type ReadOptions,
  VivError,
  type VmFiles,
  type WatchOptions,
} from '@vivarium/model';
import { readLines } from './lines.ts';
import { readBytes, type Transport } from './transport.ts';
import { items } from './vm.ts';

type Copied = { bytes: number; entries: number };

/** Files of a guest, through the daemon. Host paths are this process's, wherever the daemon is. */
export class RemoteFiles implements VmFiles {
  readonly #transport: Transport;
  readonly #id: string;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#id = id;
  }

  async copyIn(hostPath: string, guestPath: string, options?: CopyOptions): Promise<Copied> {
    // Loaded by the first copy: nobody else shall wait for it.
    const { copyIn } = await import('@vivarium/archive');
    return copyIn(this, hostPath, guestPath, options);
  }

  async copyOut(guestPath: string, hostPath: string, options?: CopyOptions): Promise<Copied> {
    const { copyOut } = await import('@vivarium/archive');
    return copyOut(this, guestPath, hostPath, options);
  }

  async putArchive(
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    options: CopyOptions = {},
  ): Promise<Copied> {
    const { signal } = options;
    const send = { params: { id: this.#id }, query: { path: guestDir }, bytes: tar, signal };
    return (await this.#transport.json<Copied>('putArchive', send)).value;
  }

  async *getArchive(guestPath: string, options: CopyOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal, followLinks } = options;
    const query = { path: guestPath, follow_links: followLinks };
    const answer = await this.#transport.send('getArchive', { params: { id: this.#id }, query, signal });
    yield* readBytes(answer, this.#transport.address, signal);
  }

  async stat(
    guestPath: string,
    { followLinks, signal }: AskOptions & { followLinks?: boolean } = {},
  ): Promise<FileStat> {
    const query = { path: guestPath, follow_links: followLinks };
    const send = { params: { id: this.#id }, query, signal };
    const { value } = await this.#transport.json<PathInfo>('statPath', send);
    if (!value.exists)
      throw new VivError('path_not_found', value.error ?? `${guestPath}: no such file or directory`);
    return statFromWire(value);
  }

  async list(guestPath: string, { signal }: AskOptions = {}): Promise<FileEntry[]> {
    const send = { params: { id: this.#id }, query: { path: guestPath }, signal };
    return (await this.#transport.json<DirectoryEntry[]>('listDirectory', send)).value.map(entryFromWire);
  }

  async mkdir(guestPath: string, options: DirectoryOptions = {}): Promise<void> {
    const { parents, mode, uid, gid, signal } = options;
    const json = { path: guestPath, parents, mode, uid, gid };
    await this.#transport.json('makeDirectory', { params: { id: this.#id }, json, signal });
  }

  async remove(
    guestPath: string,
    options: AskOptions & { recursive?: boolean; force?: boolean } = {},
  ): Promise<{ removed: number }> {
    const { recursive, force, signal } = options;
    const send = { params: { id: this.#id }, query: { path: guestPath, recursive, force }, signal };
    return (await this.#transport.json<{ removed: number }>('removePath', send)).value;
  }

  async rename(from: string, to: string, options: AskOptions & { replace?: boolean } = {}): Promise<void> {
    const json = { from, to, replace: options.replace };
    await this.#transport.json('renamePath', {
      params: { id: this.#id },
      json,
      signal: options.signal,
    });
  }

  async setAttributes(
    guestPath: string,
    attributes: FileAttributes,
    { signal }: AskOptions = {},
  ): Promise<void> {
    const { mode, uid, gid, followLinks } = attributes;
    const json = { path: guestPath, mode, uid, gid, follow_links: followLinks };
    await this.#transport.json('setAttributes', { params: { id: this.#id }, json, signal });
  }

  async watch(guestPath: string, options: WatchOptions = {}): Promise<AsyncIterable<FileChange>> {
    const { recursive, signal } = options;
    const query = { path: guestPath, recursive };
    const send = { params: { id: this.#id }, query, accept: ndjson, signal };
    const answer = await this.#transport.send('watchPath', send);
    const lines = readLines(answer, this.#transport.address, signal);
    const changes = items<WireChange>(lines, signal);
    // The daemon says when nothing is missed any more; a refusal comes in its place.
    await changes.next();
    return (async function* () {
      for await (const change of changes) yield changeFromWire(change);
    })();
  }

  readFile(guestPath: string, options: ReadOptions = {}): Promise<Buffer> {
    const { offset, length, signal } = options;
    const query = { path: guestPath, offset, length };
    return this.#transport.bytes('readFile', { params: { id: this.#id }, query, signal });
  }

  async writeFile(
    guestPath: string,
    data: string | Uint8Array,
    { signal, ...options }: AskOptions & { mode?: number; uid?: number; gid?: number } = {},
  ): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    await this.#transport.bytes('writeFile', {
      params: { id: this.#id },
      query: { path: guestPath, ...options },
      bytes,
      signal,
    });
  }
}
