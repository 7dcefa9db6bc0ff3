import { stat } from 'node:fs/promises';
import path from 'node:path';
import { abortable } from '../../guest/abort.ts';
import { goneMeanwhile } from '../../saved-states/check.ts';
import { type ExpectedState, isExpected, type SavedState } from '../driver.ts';
import type { Incoming } from './command-line.ts';
import { memoryFiles } from './memory.ts';
import { ramAddress } from './ram.ts';
import { finishLoading, loadFailure, type Restoring, whenLoaded } from './restore.ts';

/** What was expected can't be loaded by the VMM that waited for it. That one is not to blame, and is of no use any more. */
export class Unmet extends Error {
  /** Undefined where it has not come, or does not fit. Else it stands on other memory: another VMM can be made from it. */
  readonly state: SavedState | undefined;

  constructor(cause: unknown, state?: SavedState) {
    super('What was expected has not come', { cause });
    this.state = state;
  }
}

/** What a machine is restored from, whether it is there or still being saved. */
export class RestoreSource {
  readonly dir: string;
  readonly when: Incoming;
  readonly #expected: Promise<SavedState> | undefined;
  /** To be called once the VMM is starting. */
  readonly started: () => void;
  readonly #fits: (state: SavedState) => Promise<void>;
  /** As soon as it is there. */
  #state: SavedState | undefined;

  private constructor(from: SavedState | ExpectedState, fits: (state: SavedState) => Promise<void>) {
    this.dir = from.dir;
    this.#fits = fits;
    if (isExpected(from)) {
      this.#expected = from.state;
      // Where it fails before the VMM is ready, that is heard of then.
      from.state.catch(() => undefined);
    } else {
      this.#state = from;
    }
    this.started = () => isExpected(from) && from.started?.();
    // What is expected is expected to be a difference.
    this.when = isExpected(from) ? 'when-told' : whenLoaded(from);
  }

  /** @throws what `fits` does of a state that is there. */
  static async of(
    from: SavedState | ExpectedState,
    fits: (state: SavedState) => Promise<void>,
  ): Promise<RestoreSource> {
    const source = new RestoreSource(from, fits);
    if (source.#state !== undefined) await fits(source.#state);
    return source;
  }

  /**
   * Has the VMM of that directory become what was saved. `waiting`: ends the wait for what is not there yet. `reachable`: called once it is.
   *
   * @throws Unmet, or why it could not be loaded.
   */
  async load(
    restoring: Restoring,
    machineDir: string,
    { signal, waiting, reachable }: { signal?: AbortSignal; waiting: AbortSignal; reachable: () => void },
  ): Promise<unknown> {
    if (this.#expected === undefined) {
      reachable();
      return finishLoading(restoring, this.#present, { signal });
    }
    // Asked while there is time.
    const address = await ramAddress(restoring.execute);
    const state = await this.#arrived(this.#expected, waiting);
    const placed = await stat(path.join(machineDir, memoryFiles.base), { bigint: true });
    const { delta, memory } = state.manifest;
    if (delta === undefined || memory.inode !== String(placed.ino)) throw new Unmet(undefined, state);
    reachable();
    return finishLoading(restoring, state, { signal, address });
  }

  async #arrived(expected: Promise<SavedState>, waiting: AbortSignal): Promise<SavedState> {
    try {
      const state = await abortable(expected, waiting);
      await this.#fits(state);
      this.#state = state;
      return state;
    } catch (error) {
      if (waiting.aborted) throw error;
      throw new Unmet(error);
    }
  }

  get #present(): SavedState {
    if (this.#state === undefined) throw new Error('It is not there yet');
    return this.#state;
  }

  /** Why a launch from it has failed. */
  async explained(error: unknown, vmmVersion: string): Promise<unknown> {
    if (this.#state === undefined) return error;
    return loadFailure(await goneMeanwhile(this.#state, error), this.#state.manifest, vmmVersion);
  }
}
