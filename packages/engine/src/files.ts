import { copyIn, copyOut, readFile, writeFile } from '@vivarium/archive';
import type { CopyOptions, FileStat, VmFiles } from '@vivarium/model';
import { guestOf } from './instances/exec.ts';
import type { Instance } from './instances/instance.ts';

const target = 'root';
/** Milliseconds the agent has to answer a small question. */
const answerMs = 10_000;

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

  async stat(guestPath: string, options: { followLinks?: boolean } = {}): Promise<FileStat> {
    const follow = options.followLinks ?? false;
    return this.#using(() => {
      const guest = guestOf(this.#instance, 'look into');
      return guest.stat(target, this.#absolute(guestPath), follow, AbortSignal.timeout(answerMs));
    });
  }

  readFile(guestPath: string): Promise<Buffer> {
    return readFile(this, guestPath);
  }

  writeFile(
    guestPath: string,
    data: string | Uint8Array,
    options: { mode?: number; uid?: number; gid?: number } = {},
  ): Promise<void> {
    return writeFile(this, guestPath, data, options);
  }

  #absolute(guestPath: string): string {
    if (guestPath.startsWith('/')) return guestPath;
    const { cwd } = this.#instance.record.spec;
    return `${cwd.endsWith('/') ? cwd : `${cwd}/`}${guestPath}`;
  }
}
