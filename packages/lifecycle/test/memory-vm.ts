import type { AdaptedVm } from '../src/index.ts';
import {
  type Action,
  advance,
  type Observation,
  type Position,
  type State,
  type Step,
} from '../src/index.ts';

/** How the transient state of an action ends well. */
const success: Partial<Record<State, Observation>> = {
  Cloning: 'cloned',
  Starting: 'booted',
  Initializing: 'ready',
  Stopping: 'gone',
  Suspending: 'saved',
  Restoring: 'ready',
  Deleting: 'gone',
};

/** A VM that is nothing but its place in the table. Every step it takes is one the table allows, or it throws. */
export class MemoryVm implements AdaptedVm {
  readonly id = 'memory';
  suspendable = true;
  /** Every state it has been in. */
  readonly seen: State[] = ['Defined'];
  /** Actions that fail once they have begun, and what is observed then. */
  readonly failures = new Map<Action, Observation>();
  /** What the VM process itself says when it is stopped. */
  vmError: Error | undefined;
  /** Called in each transient state, before it goes on. */
  inTransient: (state: State) => Promise<void> | void = () => {};
  #position: Position = { state: 'Defined' };

  state(): State {
    return this.#position.state;
  }

  /** Puts it somewhere, as if it had always been there. */
  place(position: Position): this {
    this.#position = position;
    return this;
  }

  step(step: Step): void {
    const next = advance(this.#position, step);
    if (next === undefined) throw new Error(`${JSON.stringify(step)} is illegal in ${this.state()}`);
    this.#position = next;
    if (this.seen.at(-1) !== next.state) this.seen.push(next.state);
  }

  clone(): Promise<void> {
    return this.#act('clone');
  }
  start(): Promise<void> {
    return this.#act('start');
  }
  async stop({ force }: { force: boolean }): Promise<{ vmError?: Error }> {
    await this.#act('stop', force);
    return this.vmError === undefined ? {} : { vmError: this.vmError };
  }
  suspend(): Promise<void> {
    return this.#act('suspend');
  }
  discard(): Promise<void> {
    return this.#act('discard');
  }
  delete({ force }: { force: boolean }): Promise<void> {
    return this.#act('delete', force);
  }
  async exec(argv: readonly string[]): Promise<number> {
    return argv.length;
  }
  async properties(): Promise<Record<string, unknown>> {
    return { ip: '10.1.2.2' };
  }

  async #act(action: Action, force = false): Promise<void> {
    const failure = this.failures.get(action);
    this.failures.delete(action);
    this.step({ action, force });
    for (let next = success[this.state()]; next !== undefined; next = success[this.state()]) {
      await this.inTransient(this.state());
      if (failure !== undefined) {
        this.step({ observation: failure });
        throw new Error(`${action} failed`);
      }
      this.step({ observation: next });
    }
    if (failure !== undefined) throw new Error(`${action} failed`);
  }
}
