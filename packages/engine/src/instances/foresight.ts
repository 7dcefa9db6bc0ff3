import { isVivError, VivError } from '@vivarium/model';
import type { Machine, SavedState } from '../drivers/driver.ts';
import type { Captured, CaptureOptions } from './capture.ts';
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

/** A copy of an instant that is not there yet, made ready while that is being saved. */
export class Foresight {
  readonly #instance: Instance;
  readonly #origin: Omit<Origin, 'state'>;
  readonly #begin: Begin;
  readonly #state = Promise.withResolvers<SavedState>();
  #refused = false;

  constructor(instance: Instance, origin: Omit<Origin, 'state'>, begin: Begin) {
    this.#instance = instance;
    this.#origin = origin;
    this.#begin = begin;
    // Where nobody waits for it.
    this.#state.promise.catch(() => undefined);
  }

  expect(captured: Promise<Captured>): void {
    this.#state.resolve(captured.then(expectForeseen));
  }

  /** It has failed, in a way in which none that is begun afterwards will. */
  get isInVain(): boolean {
    return this.#refused;
  }

  /**
   * Begins it. Its disk is that of the source as it is until the pause. What else this process has to do for it is done before as well, for the
   * pause would be longer for it: until its VMM is starting, or it has failed.
   */
  readonly foresee: NonNullable<CaptureOptions['foreseen']> = async (known, { prepared }) => {
    const [copied, starting] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const over = () => {
      copied.resolve();
      starting.resolve();
    };
    const { dir } = this.#origin;
    const state = { inherited: known, dir, state: this.#state.promise, started: () => starting.resolve() };
    const disk = { dir: this.#instance.dir, prepared, copied: () => copied.resolve() };
    this.#begin({ ...this.#origin, disk, state }).then(over, (error: unknown) => {
      // What is still written can't be shared on this file system, and can be copied later; or there was too much to save for its patience.
      this.#refused = isVivError(error, 'not_supported', 'timeout');
      over();
    });
    await copied.promise;
    const late = setTimeout(() => starting.resolve(), mostAheadMs);
    await starting.promise;
    clearTimeout(late);
  };
}

function expectForeseen(captured: Captured): SavedState {
  if (captured.diskChanged) throw new VivError('conflict', 'The disk was written to at the last moment');
  return captured;
}
