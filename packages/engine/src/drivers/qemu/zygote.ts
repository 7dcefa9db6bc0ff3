import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, symlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import path from 'node:path';
import { bootId, killProcess, signalProcess, waitUntilGone } from '../../host/identity.ts';
import type { ProcessIdentity } from '../driver.ts';
import type { ShimFile } from './record.ts';
import { announced, LineReader, type StartedShim } from './shim-process.ts';
import { connectUnix } from './unix-socket.ts';

export const zygoteSocket = 'zygote.sock';

/** `LD_PRELOAD` is cut at blanks and colons, which a path may have: the library is found by this name where it is started. */
const libraryName = 'zygote.so';

/** It is there in 25 ms, and answers in 2. */
const readyTimeoutMs = 10_000;
const answerTimeoutMs = 3_000;
/** Room for what `ps` is to show of the VMMs made of it, in the only place where it can be: its own command line. A VMM's has 3 KB. */
const titleBytes = 16 * 1024;

export interface ZygoteOptions {
  /** The QEMU. */
  qemuPath: string;
  shimPath: string;
  /** `libviv_zygote.so`. */
  library: string;
  /** Where its socket is to lie. */
  dir: string;
}

/**
 * A QEMU that was given no command line and stands at the beginning of its `main` (docs/zygote.md). What is made of it needs neither be loaded
 * nor linked, and shares with it what that has written.
 */
export class Zygote implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly ended: Promise<void>;
  #over = false;
  #silent = false;
  #disposed: Promise<void> | undefined;

  private constructor(child: ChildProcess, dir: string) {
    this.#child = child;
    this.#dir = dir;
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        resolve();
      };
      child.once('exit', end);
      child.once('error', end);
    });
  }

  /** @throws Error where it can't be had: another QEMU may not start, or not stand still. */
  static async start({ qemuPath, shimPath, library, dir }: ZygoteOptions): Promise<Zygote> {
    const named = path.join(dir, libraryName);
    await rm(named, { force: true });
    await symlink(path.resolve(library), named);
    // Through the shim, which closes what we have inherited, and keeps the VMM's numbers free from what a library opens.
    const child = spawn(shimPath, ['zygote', qemuPath, ' '.repeat(titleBytes)], {
      cwd: dir,
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        LC_ALL: 'C',
        LD_PRELOAD: `./${libraryName}`,
        VIV_ZYGOTE: qemuPath,
        VIV_ZYGOTE_SHIM: shimPath,
      },
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const zygote = new Zygote(child, dir);
    try {
      if (child.pid === undefined || child.stdout === null) throw (await once(child, 'error'))[0];
      const line = await new LineReader(child.stdout).next(AbortSignal.timeout(readyTimeoutMs));
      if (line !== 'ready') throw new Error('QEMU ended instead of standing still');
    } catch (error) {
      await zygote[Symbol.asyncDispose]();
      throw error;
    } finally {
      // One that stays is in nobody's way, and the next start removes it.
      await rm(named, { force: true }).catch(() => undefined);
    }
    child.unref();
    for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as Socket).unref();
    return zygote;
  }

  /** Whether it was given up because no answer came in time. */
  get wasSilent(): boolean {
    return this.#silent;
  }

  /**
   * A shim with a VMM-to-be below it. Undefined, and the zygote on its way out, where it does not answer: nothing has been started then.
   *
   * @throws the signal's reason.
   */
  async shim(dir: string, detached: boolean, signal?: AbortSignal): Promise<StartedShim | undefined> {
    let socket: Socket | undefined;
    const late = AbortSignal.timeout(answerTimeoutMs);
    try {
      const stop = AbortSignal.any([late, ...(signal ? [signal] : [])]);
      socket = await connectUnix(this.#dir, zygoteSocket, stop);
      return await ForkedShim.over(socket, dir, detached, stop);
    } catch {
      // It was not told where to begin: it ends by itself.
      socket?.destroy();
      signal?.throwIfAborted();
      this.#silent = late.aborted;
      // Not waited for, and whether its socket could be removed is of no interest: the next one does that too.
      this[Symbol.asyncDispose]().catch(() => undefined);
      return undefined;
    }
  }

  /** VMMs that were made of it live on. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#end();
    return this.#disposed;
  }

  async #end(): Promise<void> {
    // While it lives: afterwards the socket there may be a successor's.
    const removed = this.#over ? undefined : rm(path.join(this.#dir, zygoteSocket), { force: true });
    try {
      await removed;
    } finally {
      this.#child.ref();
      this.#child.kill('SIGKILL');
      await this.ended;
      this.#child.stdin?.destroy();
      this.#child.stdout?.destroy();
    }
  }
}

/** A shim that is nobody's child here. It has the connection as its stdin and stdout. */
class ForkedShim implements StartedShim {
  readonly #socket: Socket;
  readonly #lines: LineReader;
  readonly #identity: ProcessIdentity;
  readonly #detached: boolean;

  private constructor(socket: Socket, lines: LineReader, identity: ProcessIdentity, detached: boolean) {
    this.#socket = socket;
    this.#lines = lines;
    this.#identity = identity;
    this.#detached = detached;
  }

  /** Its first line says who it is. @throws Error where none comes. */
  static async over(socket: Socket, dir: string, detached: boolean, stop: AbortSignal): Promise<ForkedShim> {
    const lines = new LineReader(socket);
    const { pid, start_time: startTime } = JSON.parse(await lines.next(stop)) as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof startTime !== 'number')
      throw new Error('It does not say who it is');
    const shim = new ForkedShim(socket, lines, { pid, startTime, bootId: await bootId() }, detached);
    // Last: without it there is no shim, and with it there is somebody who can end that.
    socket.write(`${dir}\n`);
    return shim;
  }

  announcement(signal?: AbortSignal): Promise<ShimFile> {
    return announced((stop) => this.#lines.next(stop), signal);
  }

  release(): void {
    // Open for as long as this process lives where the VMM is to end with it, but no reason for it to.
    if (this.#detached) this.#socket.destroy();
    else this.#socket.unref();
  }

  async end(): Promise<void> {
    await signalProcess(this.#identity, 'SIGTERM');
    if (!(await waitUntilGone(this.#identity, 5_000))) await killProcess(this.#identity);
    this.#socket.destroy();
  }
}
