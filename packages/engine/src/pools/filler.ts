import { randomBytes } from 'node:crypto';
import { type CallOptions, type ErrorRecord, type PoolInfo, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { createInstance } from '../instances/create.ts';
import type { Instance } from '../instances/instance.ts';
import { EngineVm } from '../vm.ts';
import { Backoff, type Pause } from './backoff.ts';
import type { PoolClock } from './clock.ts';
import type { PoolLog } from './log.ts';
import type { PoolRecord } from './record.ts';
import { rehearse } from './rehearse.ts';
import type { Stage } from './stages.ts';
import type { Work } from './work.ts';

/** VMs of one pool that are made at once: enough to overlap what waits, and not to starve the VMs that work. */
const atOnce = 3;

/** Who is told what became of a making. */
export interface FillListener {
  made(instance: Instance): void;
  /** What a failed making has left; resolves when it is gone, or known to stay. */
  remains(instance: Instance): Promise<void>;
  failed(error: VivError): void;
  /** A pause is over. */
  due(): void;
}

/** Everything that the parts of a pool share. */
export interface PoolParts {
  context: Context;
  clock: PoolClock;
  log: PoolLog;
  stage: Stage;
  work: Work;
  /** Fires when nothing more is to be begun; its reason is a VivError. */
  stop: AbortSignal;
}

/** Makes the VMs of a pool: several at once while that succeeds, one at a time and ever later while it fails. */
export class Filler {
  readonly #parts: PoolParts;
  readonly #record: PoolRecord;
  readonly #listener: FillListener;
  readonly #backoff: Backoff;
  /** Of the next VM that is made. */
  onProgress: CallOptions['onProgress'];
  #making = 0;

  constructor(parts: PoolParts, record: PoolRecord, listener: FillListener) {
    this.#parts = parts;
    this.#record = record;
    this.#listener = listener;
    this.#backoff = new Backoff(parts.clock, () => listener.due());
  }

  get making(): number {
    return this.#making;
  }

  get lastError(): PoolInfo['lastError'] {
    return this.#backoff.lastError;
  }

  /** Begins as many as may be begun now. */
  fill(missing: number): void {
    if (this.#backoff.waiting) return;
    const most = Math.min(missing, (this.#backoff.failing ? 1 : atOnce) - this.#making);
    for (let n = 0; n < most; n += 1) {
      this.#making += 1;
      this.#parts.work.begin(this.#make());
    }
  }

  /** Somebody waits for a VM. */
  hurry(): void {
    this.#backoff.hurry();
  }

  /** Something else than a making failed that stands in the way of one. */
  failed(error: VivError, round?: number): void {
    this.#pause(this.#backoff.failed(error, { round }), error);
  }

  /** A VM that was made turned out not to last, or not to start. */
  relapsed(error: VivError): void {
    this.#pause(this.#backoff.relapsed(error), error);
  }

  #pause(pause: Pause | undefined, error: VivError): void {
    if (pause !== undefined) this.#parts.log.add('backing-off', { ...pause, error: brief(error) });
  }

  async #make(): Promise<void> {
    const { log, stop } = this.#parts;
    const { round } = this.#backoff;
    let made: Instance | VivError;
    try {
      made = await this.#attempt();
    } finally {
      this.#making -= 1;
    }
    if (!(made instanceof VivError)) {
      if (this.#backoff.succeeded()) log.add('recovered', {}, made.id);
      this.#listener.made(made);
    } else if (!stop.aborted) {
      this.failed(made, round);
      this.#listener.failed(made);
    }
  }

  /** A VM that is ready, or why there is none; nothing is left of that one then. */
  async #attempt(): Promise<Instance | VivError> {
    const { clock, context, log, stage, stop } = this.#parts;
    const { id, name: pool, creationTimeoutMs, vm } = this.#record;
    const name = `${pool.slice(0, 54)}-${randomBytes(4).toString('hex')}`;
    const late = new AbortController();
    using _deadline = clock.after(creationTimeoutMs, () =>
      late.abort(new VivError('timeout', `No VM was ready within ${creationTimeoutMs / 1000} s`)),
    );
    const call = { signal: AbortSignal.any([stop, late.signal]), onProgress: this.onProgress };
    this.onProgress = undefined;
    log.add('creating', { name });
    let instance: Instance | undefined;
    try {
      instance = await createInstance(context, { ...vm, name }, call, { id, name: pool });
      await stage.bring(new EngineVm(context, instance), call);
      const { guest } = instance;
      // Where it can't be rehearsed the first exec takes longer, and says why it fails.
      if (stage.state === 'Running' && guest !== undefined)
        await rehearse(guest, call.signal).catch(() => undefined);
      return instance;
    } catch (thrown) {
      const { aborted, reason } = call.signal;
      const error = VivError.from(aborted ? reason : thrown);
      const type = aborted ? 'creation-cancelled' : 'creation-failed';
      log.add(type, { name, error: brief(error) }, instance?.id);
      if (instance !== undefined) await this.#listener.remains(instance);
      return error;
    }
  }
}

export function brief({ code, message }: VivError): Pick<ErrorRecord, 'code' | 'message'> {
  return { code, message };
}
