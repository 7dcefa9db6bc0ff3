import {
  type AskOptions,
  type MakingOptions,
  type Pool,
  type PoolEvent,
  type PoolInfo,
  refuseAborted,
  VivError,
  type Vm,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { acquisition } from '../requests/pools.ts';
import { discard } from './discard.ts';
import type { PoolKeeper } from './keeper.ts';

/** What all pools together know of one. */
export interface PoolOwner {
  gone(): boolean;
  remove(keepAcquired: boolean): Promise<void>;
}

/** A pool of the in-process engine. */
export class EnginePool implements Pool {
  readonly #context: Context;
  readonly #keeper: PoolKeeper;
  readonly #owner: PoolOwner;

  constructor(context: Context, keeper: PoolKeeper, owner: PoolOwner) {
    this.#context = context;
    this.#keeper = keeper;
    this.#owner = owner;
  }

  get name(): string {
    return this.#keeper.record.name;
  }

  get info(): PoolInfo {
    return this.#keeper.info;
  }

  async refresh(options: AskOptions = {}): Promise<PoolInfo> {
    refuseAborted(options);
    if (this.#owner.gone()) throw new VivError('not_found', `The pool ${this.name} has been removed`);
    return this.info;
  }

  acquire(options: MakingOptions = {}): Promise<Vm> {
    return this.#context.requests.once(options, acquisition(this.#context, this.#keeper));
  }

  async release(idOrName: string, options: AskOptions = {}): Promise<void> {
    refuseAborted(options);
    const instance = this.#context.instances.find(idOrName);
    const { pool, name } = instance.record;
    if (pool?.id !== this.#keeper.record.id) {
      throw new VivError('not_found', `${name} is no VM of the pool ${this.name}`);
    }
    if (pool.acquiredAt === undefined) {
      throw new VivError('invalid_state', `${name} has not been acquired`, {
        hint: 'Only what was acquired can be released. What is ready goes with the pool.',
      });
    }
    await discard(this.#context, instance);
  }

  events(options: { since?: number; signal?: AbortSignal } = {}): AsyncIterable<PoolEvent> {
    return this.#keeper.log.read(options);
  }

  async remove(options: AskOptions & { keepAcquired?: boolean } = {}): Promise<void> {
    refuseAborted(options);
    return this.#owner.remove(options.keepAcquired ?? false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}
