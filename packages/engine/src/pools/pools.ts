import {
  type AskOptions,
  abortReason,
  type MakingOptions,
  type PoolInfo,
  type PoolOptions,
  type Pools,
  refuseAborted,
  VivError,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { orAborted } from '../or-aborted.ts';
import { poolMaking } from '../requests/pools.ts';
import type { MarkedCall } from '../requests/request.ts';
import type { NamedRecords } from '../store/named-records.ts';
import { hostClock, type PoolClock } from './clock.ts';
import { discardAll } from './discard.ts';
import { PoolKeeper } from './keeper.ts';
import { poolRecord } from './options.ts';
import { EnginePool } from './pool.ts';
import type { PoolRecord } from './record.ts';

/** The pools of a data directory. */
export class EnginePools implements Pools {
  readonly #context: Context;
  readonly #store: NamedRecords<PoolRecord>;
  readonly #clock: PoolClock;
  readonly #keepers = new Map<string, PoolKeeper>();
  readonly #removals = new Map<PoolKeeper, Promise<void>>();
  #closed = false;

  constructor(context: Context, store: NamedRecords<PoolRecord>, clock: PoolClock = hostClock) {
    this.#context = context;
    this.#store = store;
    this.#clock = clock;
  }

  async create(
    name: string,
    {
      wait = true,
      signal,
      onProgress,
      idempotencyKey,
      ...options
    }: PoolOptions & MakingOptions & { wait?: boolean },
  ): Promise<EnginePool> {
    const making = poolMaking(
      {
        make: (call) => this.#create(name, options, wait, call),
        find: (which) => this.#find(which),
        removed: async (keeper) => this.#removals.get(keeper),
      },
      name,
      { ...options, wait },
    );
    return this.#handle(await this.#context.requests.once({ signal, onProgress, idempotencyKey }, making));
  }

  async #create(
    name: string,
    options: PoolOptions,
    wait: boolean,
    { signal, onProgress, request }: MarkedCall,
  ): Promise<PoolKeeper> {
    const record = {
      ...poolRecord(this.#context, name, options, wait ? 'creating' : 'open'),
      ...(request === undefined ? {} : { request }),
    };
    if (signal?.aborted) throw abortReason(signal);
    const removal = this.#removalOf(name);
    if (removal !== undefined) await orAborted(removal, signal);
    this.#refuseClosed();
    if (this.#keepers.has(name)) {
      throw new VivError('name_conflict', `There is a pool ${name} already`, {
        hint: 'Choose another name, or remove that pool.',
      });
    }
    this.#store.save(record);
    const keeper = this.#keep(record);
    keeper.begin(onProgress);
    if (wait) await this.#open(keeper, signal);
    return keeper;
  }

  #find(which: { id: string } | { request: string }): PoolKeeper | undefined {
    return [...this.#keepers.values()].find(({ record }) =>
      'id' in which ? record.id === which.id : record.request === which.request,
    );
  }

  /** A name on its way out is waited for: who repeats a create that a kill cut off does not know of it. */
  #removalOf(name: string): Promise<void> | undefined {
    const keeper = this.#keepers.get(name);
    // Whether it failed is told to who asked for it; the name is then still taken.
    return keeper && this.#removals.get(keeper)?.catch(() => undefined);
  }

  async get(name: string, options: AskOptions = {}): Promise<EnginePool> {
    refuseAborted(options);
    const keeper = this.#keepers.get(name);
    if (keeper !== undefined) return this.#handle(keeper);
    throw new VivError('not_found', `No pool is called ${JSON.stringify(name)}`);
  }

  async list(options: AskOptions = {}): Promise<PoolInfo[]> {
    refuseAborted(options);
    return [...this.#keepers.values()].map(({ info }) => info).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Goes on where a predecessor was; what it was creating for somebody, or removing, goes. */
  recover(): void {
    for (const record of this.#store.all()) {
      const keeper = this.#keep(record);
      if (record.phase === 'open') keeper.begin();
      else this.#removeInBackground(keeper, record.keepAcquired ?? true);
    }
  }

  /** Begins nothing any more, and resolves once nothing is under way. What is ready stays for whoever comes next. */
  async close(): Promise<void> {
    this.#closed = true;
    const reason = new VivError('cancelled', 'The engine is being closed');
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.halt(reason)));
    await Promise.allSettled(this.#removals.values());
    for (const { log } of this.#keepers.values()) log.end();
  }

  abandon(): void {
    this.#closed = true;
    for (const keeper of this.#keepers.values()) keeper.abandon();
  }

  #keep(record: PoolRecord): PoolKeeper {
    const keeper = new PoolKeeper(this.#context, record, this.#clock);
    this.#keepers.set(record.name, keeper);
    keeper.log.add('created', { size: record.size, stage: keeper.info.stage });
    return keeper;
  }

  #handle(keeper: PoolKeeper): EnginePool {
    return new EnginePool(this.#context, keeper, {
      gone: () => this.#keepers.get(keeper.record.name) !== keeper,
      remove: (keepAcquired) => this.#remove(keeper, keepAcquired),
    });
  }

  /** Waits for the first VM. When there is none nothing is left of the pool. */
  async #open(keeper: PoolKeeper, signal: AbortSignal | undefined): Promise<void> {
    try {
      await orAborted(keeper.first.promise, signal);
      keeper.record = { ...keeper.record, phase: 'open' };
      this.#store.save(keeper.record);
    } catch (error) {
      // The next process takes back what a closing one leaves.
      if (!this.#closed)
        await this.#remove(keeper, true).catch((cause: unknown) => notRemoved(keeper, cause));
      throw error;
    }
  }

  #removeInBackground(keeper: PoolKeeper, keepAcquired: boolean): void {
    this.#remove(keeper, keepAcquired).catch((error: unknown) => notRemoved(keeper, error));
  }

  #remove(keeper: PoolKeeper, keepAcquired: boolean): Promise<void> {
    const underWay = this.#removals.get(keeper);
    if (underWay !== undefined) return underWay;
    const removal = this.#removeNow(keeper, keepAcquired).finally(() => this.#removals.delete(keeper));
    this.#removals.set(keeper, removal);
    return removal;
  }

  async #removeNow(keeper: PoolKeeper, keepAcquired: boolean): Promise<void> {
    const { name, id } = keeper.record;
    if (this.#keepers.get(name) !== keeper) return;
    this.#refuseClosed();
    const record: PoolRecord = { ...keeper.record, phase: 'removing', keepAcquired };
    this.#store.save(record);
    keeper.record = record;
    keeper.log.add('closing', { keepAcquired });
    const gone = new VivError('not_found', `No pool is called ${JSON.stringify(name)}: it has been removed`);
    await keeper.halt(new VivError('cancelled', `The pool ${name} is being removed`), gone);
    const doomed = keeper.instances().filter(({ record: { pool } }) => !keepAcquired || !pool?.acquiredAt);
    await discardAll(this.#context, doomed);
    this.#store.drop(id);
    this.#keepers.delete(name);
    keeper.log.add('closed');
    keeper.log.end();
  }

  #refuseClosed(): void {
    if (this.#closed) throw new VivError('cancelled', 'The engine is being closed');
  }
}

function notRemoved({ record, log }: PoolKeeper, thrown: unknown): void {
  const { code, message } = VivError.from(thrown);
  // It is listed still, and removing it again is up to whoever sees it there.
  log.add('closing', { error: { code, message } });
  process.emitWarning(`The pool ${record.name} could not be removed: ${message}`);
}
