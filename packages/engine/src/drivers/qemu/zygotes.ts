import { open, realpath } from 'node:fs/promises';
import { VivError } from '@vivarium/model';
import type { QemuInfo } from '../../host/qemu.ts';
import type { ExitRecord } from '../driver.ts';
import type { StartedShim } from './shim-process.ts';
import { Zygote, type ZygoteOptions } from './zygote.ts';

/** A VMM that ended by one of these may have been attacked, and whoever did may know more of its memory the next time. */
const crashes: readonly (string | undefined)[] = [
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGABRT',
  'SIGSYS',
  'SIGTRAP',
];

/** Milliseconds after which it is tried again where there could be none: the host may have been too busy, or short of memory. */
const retryAfterMs = 60_000;

interface ZygotesOptions extends Omit<ZygoteOptions, 'qemuPath'> {
  /** For tests. */
  retryAfterMs?: number;
}

interface Kept {
  qemu: QemuInfo;
  /** Rejects where there can be none. */
  starting: Promise<Zygote>;
  /** Once it is there, and as long as it is. */
  zygote?: Zygote;
  /** Milliseconds of {@link performance.now}: when it turned out that there is none. */
  failedAt?: number;
}

/** The zygote of the QEMU at hand, while there is one: whoever starts a VMM without it waits for nothing, and has one be there the next time. */
export class Zygotes implements AsyncDisposable {
  readonly #options: Omit<ZygoteOptions, 'qemuPath'>;
  readonly #retryAfterMs: number;
  #kept: Kept | undefined;
  #closed = false;

  constructor({ retryAfterMs: after = retryAfterMs, ...options }: ZygotesOptions) {
    this.#options = options;
    this.#retryAfterMs = after;
  }

  /** Resolves once there is one. @throws VivError `not_supported` where this QEMU can have none, and why. */
  async begin(qemu: QemuInfo): Promise<void> {
    const { failedAt = Number.POSITIVE_INFINITY } = this.#kept ?? {};
    const mayBeTried = this.#kept?.qemu !== qemu || performance.now() - failedAt >= this.#retryAfterMs;
    if (mayBeTried && !this.#closed) this.#keep(qemu);
    await this.#kept?.starting;
  }

  /** Undefined where one has to be spawned. @throws the signal's reason. */
  async shim(
    qemu: QemuInfo,
    dir: string,
    detached: boolean,
    signal?: AbortSignal,
  ): Promise<StartedShim | undefined> {
    const kept = this.#kept;
    if (kept?.qemu === qemu && kept.zygote !== undefined) {
      const shim = await kept.zygote.shim(dir, detached, signal);
      // That it has ended may not have been heard of yet. After one that lived and was silent the next VMM is spawned: another may be as silent.
      if (shim === undefined && this.#kept === kept && !kept.zygote.wasSilent) this.#keep(qemu);
      return shim;
    }
    // Why there can be none is told to whoever asks with begin().
    this.begin(qemu).catch(() => undefined);
    return undefined;
  }

  /** The VMMs of a zygote have one layout of their memory. After a crash the next ones get another. */
  watch(exited: Promise<ExitRecord>): void {
    const kept = this.#kept;
    const look = async ({ signal }: ExitRecord) => {
      if (!crashes.includes(signal) || this.#kept !== kept || kept === undefined) return;
      await kept.zygote?.[Symbol.asyncDispose]();
    };
    // One that nobody saw end tells nothing.
    exited.then(look).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const kept = this.#kept;
    this.#kept = undefined;
    const zygote = await kept?.starting.catch(() => undefined);
    await zygote?.[Symbol.asyncDispose]();
  }

  #keep(qemu: QemuInfo): void {
    const former = this.#kept;
    const kept: Kept = { qemu, starting: this.#start(qemu, former) };
    this.#kept = kept;
    const forget = () => {
      if (this.#kept === kept) this.#kept = undefined;
    };
    kept.starting.then(
      (zygote) => {
        kept.zygote = zygote;
        void zygote.ended.then(forget);
      },
      () => {
        kept.failedAt = performance.now();
      },
    );
  }

  async #start(qemu: QemuInfo, former: Kept | undefined): Promise<Zygote> {
    await (await former?.starting.catch(() => undefined))?.[Symbol.asyncDispose]();
    try {
      const qemuPath = await realpath(qemu.path);
      if (!(await isElf(qemuPath))) throw new Error('it is a script');
      return await Zygote.start({ ...this.#options, qemuPath });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VivError('not_supported', `No zygote can be made of ${qemu.path}: ${why}`, { cause });
    }
  }
}

/** What a script starts could not be told from what it is meant to start. */
async function isElf(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.toString('latin1') === '\x7fELF';
  } finally {
    await handle.close();
  }
}
