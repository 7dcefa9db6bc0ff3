import { isVivError, VivError } from '@vivarium/model';
import type { ExpectedState, Machine, SavedState } from '../drivers/driver.ts';
import type { Captured, CaptureOptions, ForeseenDisk } from './capture.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import type { Origin, TakeOptions } from './origin.ts';

/** Milliseconds that a save waits for the VMM of a copy to be started, at most: 5 to 10 as a rule. The workloads stand still, or will in a moment. */
const mostAheadMs = 100;

/** Whether the next save of a machine is likely to write little: after its first, and for as long as that is so. */
const littleNext = new WeakMap<Machine, boolean>();

export const savesLittle = ({ machine }: Instance): boolean =>
  machine !== undefined && littleNext.get(machine) === true;

export function remember({ machine }: Instance, { manifest }: SavedState): void {
  if (machine !== undefined)
    littleNext.set(machine, manifest.delta !== undefined || !littleNext.has(machine));
}

type Begin = NonNullable<TakeOptions['foreseen']>;

/** A copy of an instant that is not there yet: made ready, all but for its VMM, before it is known that little will be saved. */
export class Foresight {
  diskKept = false;
  readonly #context: Context;
  readonly #instance: Instance;
  readonly #origin: Omit<Origin, 'state'>;
  readonly #begin: Begin;
  readonly #state = Promise.withResolvers<SavedState>();
  readonly #expected = Promise.withResolvers<ExpectedState>();
  readonly #starting = Promise.withResolvers<void>();
  #beginning: Promise<void> | undefined;
  #begun = false;
  #foreseen = false;

  constructor(context: Context, instance: Instance, origin: Omit<Origin, 'state'>, begin: Begin) {
    this.#context = context;
    this.#instance = instance;
    this.#origin = origin;
    this.#begin = begin;
    // Where nobody waits for them.
    this.#state.promise.catch(() => undefined);
    this.#expected.promise.catch(() => undefined);
  }

  /** For the capture. `early`: the copy is begun as soon as its disk is known. */
  hooks(early: boolean): Pick<CaptureOptions, 'diskForeseen' | 'foreseen'> {
    return {
      ...(early ? { diskForeseen: (disk) => void this.#ready(disk) } : {}),
      foreseen: (known, disk) => this.#meet(known, disk),
    };
  }

  expect(captured: Promise<Captured>): void {
    this.#state.resolve(captured.then(expectForeseen));
  }

  /** Begun, and never told what to expect. */
  get isInVain(): boolean {
    return this.#begun && !this.#foreseen;
  }

  /** Nothing is being done to the directory any more. */
  async diskSettled(): Promise<void> {
    await this.#beginning?.catch(() => undefined);
  }

  /** Whoever was begun in vain hears of it. */
  async close(): Promise<void> {
    this.#expected.reject(new VivError('conflict', 'There was more to save than was foreseen'));
    await this.diskSettled();
  }

  #ready(disk: ForeseenDisk): Promise<void> {
    this.#beginning ??= this.#keepDiskAndBegin(disk);
    this.#beginning.catch(() => undefined);
    return this.#beginning;
  }

  async #keepDiskAndBegin({ prepared }: ForeseenDisk): Promise<void> {
    const started = () => this.#starting.resolve();
    try {
      await this.#context.disks.copy(this.#instance.dir, this.#origin.dir, { prepared });
    } catch (error) {
      started();
      if (!isVivError(error, 'not_supported')) throw error;
      return;
    }
    this.diskKept = true;
    this.#begun = true;
    this.#begin({ ...this.#origin, state: this.#expected.promise }).then(started, started);
  }

  /**
   * What this process has to do for the copy is done before the pause, which it would make longer: until its VMM is starting, or it has
   * failed.
   */
  async #meet(known: Pick<ExpectedState, 'tscKhz'>, disk: ForeseenDisk): Promise<void> {
    this.#foreseen = true;
    const started = () => this.#starting.resolve();
    this.#expected.resolve({ ...known, dir: this.#origin.dir, state: this.#state.promise, started });
    await this.#ready(disk);
    const late = setTimeout(started, mostAheadMs);
    await this.#starting.promise;
    clearTimeout(late);
  }
}

function expectForeseen(captured: Captured): SavedState {
  if (captured.diskChanged) throw new VivError('conflict', 'The disk was written to at the last moment');
  return captured;
}
