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

type Using = <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

type Moved = { bytes: number; entries: number };

/** Files of the image's workload, through the agent. Needs a running VM. */
export class GuestFiles implements VmFiles {
  readonly #instance: Instance;
  readonly #using: Using;

  /** `using`: wakes the instance where it sleeps, and counts as a use of it. */
  constructor(instance: Instance, using: Using) {
    this.#instance = instance;
    this.#using = using;
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
    const { signal } = options;
    return this.#using(
      () => guestOf(this.#instance, 'copy into').copyIn(target, this.#absolute(guestDir), tar, signal),
      signal,
    );
  }

  async *getArchive(guestPath: string, options: CopyOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    using _use = this.#instance.uses.begin('files');
    const guest = await this.#using(async () => guestOf(this.#instance, 'copy from'), signal);
    yield* guest.copyOut(target, this.#absolute(guestPath), {
      followLinks: options.followLinks,
      signal,
    });
  }

  async stat(guestPath: string, options: AskOptions & { followLinks?: boolean } = {}): Promise<FileStat> {
    refuseAborted(options);
    const follow = options.followLinks ?? false;
    return this.#using(() => {
      const guest = guestOf(this.#instance, 'look into');
      return guest.stat(target, this.#absolute(guestPath), follow, within(options));
    }, options.signal);
  }

  async list(guestPath: string, options: AskOptions = {}): Promise<FileEntry[]> {
    refuseAborted(options);
    const all: FileEntry[] = [];
    for (let after: string | undefined, more = true; more; after = all.at(-1)?.name) {
      const from = after;
      const page = await this.#with(
        'look into',
        (calls) => calls.list(this.#absolute(guestPath), from, within(options)),
        options,
      );
      all.push(...page.entries);
      more = page.more;
    }
    return all;
  }

  mkdir(guestPath: string, options: DirectoryOptions = {}): Promise<void> {
    const path = this.#absolute(guestPath);
    return this.#with('make a directory in', (calls) => calls.mkdir(path, options, within(options)), options);
  }

  async remove(
    guestPath: string,
    options: AskOptions & { recursive?: boolean; force?: boolean } = {},
  ): Promise<{ removed: number }> {
    try {
      // A large tree takes its time, and the guest goes on with it whoever waits.
      const recursive = options.recursive ?? false;
      return await this.#with(
        'remove from',
        (calls) => calls.remove(this.#absolute(guestPath), recursive),
        options,
      );
    } catch (error) {
      if (options.force && isVivError(error, 'path_not_found')) return { removed: 0 };
      throw error;
    }
  }

  rename(from: string, to: string, options: AskOptions & { replace?: boolean } = {}): Promise<void> {
    const [old, next] = [this.#absolute(from), this.#absolute(to)];
    const replace = options.replace ?? true;
    return this.#with('rename in', (calls) => calls.rename(old, next, replace, within(options)), options);
  }

  setAttributes(guestPath: string, attributes: FileAttributes, options: AskOptions = {}): Promise<void> {
    const path = this.#absolute(guestPath);
    return this.#with('change', (calls) => calls.setAttributes(path, attributes, within(options)), options);
  }

  async watch(guestPath: string, options: WatchOptions = {}): Promise<AsyncIterable<FileChange>> {
    const path = this.#absolute(guestPath).replace(/(?<=.)\/+$/, '');
    const { recursive = false, signal } = options;
    return this.#while(
      await this.#with('watch', (calls) => calls.watch(path, recursive, signal), { signal }),
    );
  }

  async readFile(guestPath: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<Buffer> {
    refuseAborted({ signal });
    if (offset === 0 && length === undefined) return readFile(this, guestPath, { signal });
    const chunks: Uint8Array[] = [];
    for (let at = offset, left = length ?? Number.MAX_SAFE_INTEGER; left > 0; ) {
      const [from, most] = [at, Math.min(left, partBytes)];
      const { data } = await this.#with(
        'read from',
        (calls) => calls.read(this.#absolute(guestPath), from, most, within({ signal })),
        { signal },
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

  async #with<T>(
    action: string,
    work: (calls: GuestFileCalls) => Promise<T>,
    options: AskOptions,
  ): Promise<T> {
    refuseAborted(options);
    return this.#using(() => work(guestOf(this.#instance, action).files(target)), options.signal);
  }

  /** Counts as a use for as long as somebody reads. */
  async *#while<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    using _use = this.#instance.uses.begin('files');
    yield* items;
  }

  #absolute(guestPath: string): string {
    if (guestPath.startsWith('/')) return guestPath;
    const { cwd } = this.#instance.record.spec;
    return `${cwd.endsWith('/') ? cwd : `${cwd}/`}${guestPath}`;
  }
}
