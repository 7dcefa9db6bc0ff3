import { copyIn, copyOut, readFile, writeFile } from '@vivarium/archive';
import {
  type AskOptions,
  type CopyOptions,
  type DirectoryOptions,
  type FileAttributes,
  type FileChange,
  type FileEntry,
  type FileStat,
  isVivError,
  type ReadOptions,
  refuseAborted,
  type VmFiles,
  type WatchOptions,
  within as withinMs,
} from '@vivarium/model';
import type { GuestFileCalls } from './guest/file-calls.ts';
import { guestOf } from './instances/exec.ts';
import type { Instance } from './instances/instance.ts';

const target = 'root';
/** Milliseconds the agent has to answer a small question. */
const answerMs = 10_000;
/** What the agent gives of a file in one answer. */
const partBytes = 32 * 1024;

const within = (options?: AskOptions) => withinMs(answerMs, options);

type Moved = { bytes: number; entries: number };

/** Files of the image's workload, through the agent. Needs a running VM. */
export class GuestFiles implements VmFiles {
  readonly #instance: Instance;

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  copyIn(hostPath: string, guestPath: string, options: CopyOptions = {}): Promise<Moved> {
    return copyIn(this, hostPath, guestPath, options);
  }

  copyOut(guestPath: string, hostPath: string, options: CopyOptions = {}): Promise<Moved> {
    return copyOut(this, guestPath, hostPath, options);
  }

  async putArchive(
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    options: CopyOptions = {},
  ): Promise<Moved> {
    return guestOf(this.#instance, 'copy into').copyIn(target, this.#absolute(guestDir), tar, options.signal);
  }

  async *getArchive(guestPath: string, options: CopyOptions = {}): AsyncGenerator<Uint8Array> {
    const guest = guestOf(this.#instance, 'copy from');
    yield* guest.copyOut(target, this.#absolute(guestPath), {
      followLinks: options.followLinks,
      signal: options.signal,
    });
  }

  async stat(guestPath: string, options: AskOptions & { followLinks?: boolean } = {}): Promise<FileStat> {
    refuseAborted(options);
    const guest = guestOf(this.#instance, 'look into');
    return guest.stat(target, this.#absolute(guestPath), options.followLinks ?? false, within(options));
  }

  async list(guestPath: string, options: AskOptions = {}): Promise<FileEntry[]> {
    refuseAborted(options);
    const all: FileEntry[] = [];
    for (let after: string | undefined, more = true; more; after = all.at(-1)?.name) {
      const page = await this.#calls('look into').list(this.#absolute(guestPath), after, within(options));
      all.push(...page.entries);
      more = page.more;
    }
    return all;
  }

  async mkdir(guestPath: string, options: DirectoryOptions = {}): Promise<void> {
    refuseAborted(options);
    return this.#calls('make a directory in').mkdir(this.#absolute(guestPath), options, within(options));
  }

  async remove(
    guestPath: string,
    options: AskOptions & { recursive?: boolean; force?: boolean } = {},
  ): Promise<{ removed: number }> {
    refuseAborted(options);
    try {
      // A large tree takes its time, and the guest goes on with it whoever waits.
      return await this.#calls('remove from').remove(this.#absolute(guestPath), options.recursive ?? false);
    } catch (error) {
      if (options.force && isVivError(error, 'path_not_found')) return { removed: 0 };
      throw error;
    }
  }

  async rename(from: string, to: string, options: AskOptions & { replace?: boolean } = {}): Promise<void> {
    refuseAborted(options);
    const calls = this.#calls('rename in');
    return calls.rename(this.#absolute(from), this.#absolute(to), options.replace ?? true, within(options));
  }

  async setAttributes(
    guestPath: string,
    attributes: FileAttributes,
    options: AskOptions = {},
  ): Promise<void> {
    refuseAborted(options);
    return this.#calls('change').setAttributes(this.#absolute(guestPath), attributes, within(options));
  }

  async watch(guestPath: string, options: WatchOptions = {}): Promise<AsyncIterable<FileChange>> {
    refuseAborted(options);
    const path = this.#absolute(guestPath).replace(/(?<=.)\/+$/, '');
    return this.#calls('watch').watch(path, options.recursive ?? false, options.signal);
  }

  async readFile(guestPath: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<Buffer> {
    refuseAborted({ signal });
    if (offset === 0 && length === undefined) return readFile(this, guestPath, { signal });
    const calls = this.#calls('read from');
    const chunks: Uint8Array[] = [];
    for (let at = offset, left = length ?? Number.MAX_SAFE_INTEGER; left > 0; ) {
      const { data } = await calls.read(
        this.#absolute(guestPath),
        at,
        Math.min(left, partBytes),
        within({ signal }),
      );
      if (data.byteLength === 0) break;
      chunks.push(data);
      at += data.byteLength;
      left -= data.byteLength;
    }
    return Buffer.concat(chunks);
  }

  async writeFile(
    guestPath: string,
    data: string | Uint8Array,
    options: AskOptions & { mode?: number; uid?: number; gid?: number } = {},
  ): Promise<void> {
    refuseAborted(options);
    return writeFile(this, guestPath, data, options);
  }

  #calls(action: string): GuestFileCalls {
    return guestOf(this.#instance, action).files(target);
  }

  #absolute(guestPath: string): string {
    if (guestPath.startsWith('/')) return guestPath;
    const { cwd } = this.#instance.record.spec;
    return `${cwd.endsWith('/') ? cwd : `${cwd}/`}${guestPath}`;
  }
}
