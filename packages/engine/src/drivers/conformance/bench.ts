import assert from 'node:assert/strict';
import { type ErrorCode, isVivError } from '@vivarium/model';
import type { ConnectGuest, Guest } from '../../guest/guest.ts';
import type {
  DiskSpec,
  Driver,
  ExitRecord,
  ExpectedState,
  Machine,
  MachineSpec,
  MachineStatus,
  SavedState,
} from '../driver.ts';

/** What the suite needs to know of the driver under test. */
export interface ConformanceContext extends AsyncDisposable {
  readonly driver: Driver;
  readonly connectGuest: ConnectGuest;
  /** Milliseconds from a launch to an answer of the agent, at most. */
  readonly bootTimeoutMs: number;
  /**
   * A machine that boots our agent and needs nothing else: a directory of its own (0700), no disks, no network card,
   * `detached`, `run`. Every call gives another one.
   */
  spec(overrides?: Partial<MachineSpec>): Promise<MachineSpec>;
  /** A machine as {@link spec} gives, in whose guest there is {@link counter}. */
  countingSpec(): Promise<MachineSpec>;
  /** The disk of an empty volume of 64 MiB, another one with every call. */
  volume(): Promise<Omit<DiskSpec, 'serial' | 'unit'>>;
  /** A command that answers every line of its stdin with how many there were. */
  readonly counter: readonly string[];
  /** A second driver over the same host, as a restarted daemon has it. */
  restarted(): Driver;
  /** Processes, sockets and locks of machines that this context's specs still have, one line each; at rest: none. */
  leftovers(): Promise<string[]>;
}

/** The context together with everything a test launched, so that it ends whatever the test did. */
export class Bench {
  #context: ConformanceContext | undefined;
  readonly #machines = new Set<Machine>();
  readonly #guests = new Set<Guest>();

  async open(makeContext: () => Promise<ConformanceContext>): Promise<void> {
    this.#context = await makeContext();
  }

  get context(): ConformanceContext {
    assert(this.#context, 'the context is open');
    return this.#context;
  }

  async launch(overrides: Partial<MachineSpec> = {}): Promise<Machine> {
    return this.launchSpec(await this.context.spec(overrides));
  }

  async launchSpec(spec: MachineSpec, signal?: AbortSignal): Promise<Machine> {
    return this.keep(await this.context.driver.launch(spec, signal));
  }

  /** In a directory of its own, and otherwise the machine that was saved last time from {@link ConformanceContext.countingSpec}. */
  async restore(
    from: SavedState | ExpectedState,
    overrides: Partial<MachineSpec> = {},
    signal?: AbortSignal,
  ): Promise<Machine> {
    const spec = { ...(await this.context.countingSpec()), ...overrides };
    return this.keep(await this.context.driver.launch(spec, signal, from));
  }

  /** Takes over the end of a machine. */
  keep(machine: Machine): Machine {
    this.#machines.add(machine);
    return machine;
  }

  /** Lets go of a machine without ending it, as a daemon that is killed does. */
  async abandon(machine: Machine): Promise<void> {
    this.#machines.delete(machine);
    await machine[Symbol.asyncDispose]();
  }

  /** What a restarted daemon finds alive in a directory. */
  async adopt(dir: string): Promise<Machine> {
    const found = await this.context.restarted().adopt(dir);
    assert(found !== undefined && isMachine(found), `a live machine is found in its directory`);
    return this.keep(found);
  }

  async connect(machine: Machine): Promise<Guest> {
    const { bootTimeoutMs, connectGuest } = this.context;
    const guest = await connectGuest((channel) => machine.open(channel), AbortSignal.timeout(bootTimeoutMs));
    this.#guests.add(guest);
    return guest;
  }

  /** Ends what the test left; the next one finds nothing. */
  async reset(): Promise<void> {
    for (const guest of this.#guests) await guest[Symbol.asyncDispose]();
    this.#guests.clear();
    for (const machine of this.#machines) {
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
    this.#machines.clear();
  }

  async close(): Promise<void> {
    await this.#context?.[Symbol.asyncDispose]();
  }
}

export function isMachine(found: Machine | ExitRecord): found is Machine {
  return 'record' in found;
}

/** Resolves once the machine says so, by itself or when asked. */
export async function until(machine: Machine, wanted: MachineStatus, timeoutMs = 10_000): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const seen = Promise.withResolvers<void>();
  const unsubscribe = machine.onStatus((status) => {
    if (status === wanted) seen.resolve();
  });
  deadline.addEventListener('abort', () => seen.reject(new Error(`not ${wanted} within ${timeoutMs} ms`)));
  try {
    if ((await machine.status()) === wanted) return;
    await seen.promise;
  } finally {
    seen.promise.catch(() => {});
    unsubscribe();
  }
}

/** The promise's value, or a failure that says what was waited for. */
export async function within<T>(promise: Promise<T>, what: string, timeoutMs = 10_000): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** For `assert.rejects`: a VivError with one of these codes. */
export function withCode(...codes: ErrorCode[]): (error: unknown) => boolean {
  return (error) => {
    assert(isVivError(error, ...codes), `expected ${codes.join(' or ')}, got: ${String(error)}`);
    return true;
  };
}
