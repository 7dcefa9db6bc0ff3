import { type Cleanable, cleanup } from '../cleanup.ts';
import { isTransient } from '../states.ts';
import { type WaitOptions, waitForState } from '../wait.ts';
import {
  type CloudengAction,
  type CloudengState,
  cloudeng,
  cloudengAllowed,
  cloudengTransition,
  cloudengValidActions,
} from './cloudeng.ts';

/** What the adapter stands on: the engine's instance, or any other that speaks our states. */
export interface AdaptedVm extends Cleanable {
  readonly id: string;
  clone(options?: { signal?: AbortSignal }): Promise<unknown>;
  start(options: StartOptions): Promise<unknown>;
  /** Rejects where it could not be stopped; answers with what the VM process itself had to say. */
  stop(options: { timeoutMs: number; force: boolean }): Promise<{ vmError?: Error } | undefined>;
  suspend(options?: { signal?: AbortSignal }): Promise<unknown>;
  /** False: this VM can't be suspended at all. */
  readonly suspendable: boolean;
  exec(argv: readonly string[], output: Output): Promise<unknown>;
  properties(): Promise<Record<string, unknown>>;
}

/** A writable stream, or anything like one. */
export interface Sink {
  write(chunk: Uint8Array | string): unknown;
}

/** Where output goes. */
export interface Output {
  stdout?: Sink;
  stderr?: Sink;
}

export interface StartOptions extends Output {
  /** Bounds the start, never the life of the VM. */
  signal?: AbortSignal;
}

/** The two errors of a stop: the VM process's own, and that of stopping it. */
export interface StopOutcome {
  vmError?: Error;
  stopError?: Error;
}

/** An operation on a VM that isn't there, or isn't running, or that its state doesn't allow. */
export class CloudengError extends Error {
  override readonly name = 'CloudengError';
  readonly reason: 'vm_not_found' | 'vm_not_running' | 'not_allowed' | 'not_suspendable';

  constructor(reason: CloudengError['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

const cleaning = Symbol('cleaning');

/**
 * A VM behind the interface of cloudeng.io/vms. Operations are serialised: whoever loses a race is judged again against the
 * state that the winner left.
 */
export class CloudengInstance {
  readonly #vm: AdaptedVm;
  #last: Promise<unknown> = Promise.resolve();

  constructor(vm: AdaptedVm) {
    this.#vm = vm;
  }

  id(): string {
    return this.#vm.id;
  }

  /** May be asked at any time, also in the middle of an operation. */
  async state(): Promise<CloudengState> {
    return cloudeng.words[await this.#vm.state()];
  }

  suspendable(): boolean {
    return this.#vm.suspendable;
  }

  /** Resolves Stopped; a failure leaves Initial. */
  clone(options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#perform('Clone', () => this.#vm.clone(options));
  }

  start(options: StartOptions = {}): Promise<void> {
    return this.#perform('Start', () => this.#vm.start(options));
  }

  /** Never rejects: both errors are answered. */
  async stop(timeoutMs: number): Promise<StopOutcome> {
    try {
      let outcome: StopOutcome = {};
      await this.#perform('Stop', async () => {
        outcome = { vmError: (await this.#vm.stop({ timeoutMs, force: false }))?.vmError };
      });
      return outcome;
    } catch (error) {
      return { stopError: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  async suspend(options: { signal?: AbortSignal } = {}): Promise<void> {
    if (!this.#vm.suspendable) throw new CloudengError('not_suspendable', `${this.id()} can't be suspended`);
    await this.#perform('Suspend', () => this.#vm.suspend(options));
  }

  /** The only way out of ErrorUnknown, so it is forced where that state needs it. */
  delete(): Promise<void> {
    return this.#perform('Delete', async () => {
      const state = await this.#vm.state();
      await this.#vm.delete({ force: state === 'Unknown' || state === 'Shutdown' });
    });
  }

  async exec(argv: readonly string[], output: Output = {}): Promise<unknown> {
    const state = await this.state();
    if (state === 'Deleted' || state === 'Initial')
      throw new CloudengError('vm_not_found', `${this.id()} is ${state}`);
    if (state !== 'Running')
      throw new CloudengError('vm_not_running', `${this.id()} is ${state}, not Running`);
    return this.#vm.exec(argv, output);
  }

  properties(): Promise<Record<string, unknown>> {
    return this.#vm.properties();
  }

  /** {@link waitForState} in this vocabulary. */
  waitFor(
    final: CloudengState | CloudengState[],
    options: WaitOptions<CloudengState> = {},
  ): Promise<CloudengState> {
    return waitForState(() => this.state(), final, options);
  }

  /** Runs an action once it is its turn and the state allows it; one that has no effect is not even asked for. */
  #perform(action: CloudengAction, run: () => Promise<unknown>): Promise<void> {
    const turn = this.#last.then(async () => {
      const state = await this.state();
      if (!cloudengAllowed(state, action)) {
        const possible = cloudengValidActions(state).join(', ');
        throw new CloudengError('not_allowed', `${action} is not allowed in ${state} (allowed: ${possible})`);
      }
      if (cloudengTransition(state, action) !== state) await run();
    });
    this.#last = turn.catch(() => {}); // its own caller gets the error; the next in line doesn't care
    return turn;
  }

  /** For {@link cleanupVm}: takes its turn like any other operation, but does not wait for one that is under way. */
  async [cleaning](timeoutMs: number): Promise<void> {
    if (isTransient(await this.#vm.state())) return cleanup(this.#vm);
    const turn = this.#last.then(() => cleanup(this.#vm, { timeoutMs }));
    this.#last = turn.catch(() => {});
    await turn;
  }
}

/** Its `CleanupVM`: brings an instance from any stable state to Deleted. See {@link cleanup}. */
export async function cleanupVm(
  instance: CloudengInstance | null | undefined,
  timeoutMs: number,
): Promise<void> {
  await instance?.[cleaning](timeoutMs);
}
