import {
  type CallOptions,
  type Pool,
  type PoolEvent,
  type PoolInfo,
  type PoolOptions,
  type Pools,
  VivError,
  type Vm,
} from '@vivarium/model';
import { checkName, type FakeVivarium } from './fake-vivarium.ts';

const at = '2026-01-02T03:04:05.000Z';

/** The pools of a {@link FakeVivarium}: what is missing is made at once, and nothing fails but what `failure` says. */
export class FakePools implements Pools {
  readonly byName = new Map<string, FakePool>();
  readonly #home: FakeVivarium;

  constructor(home: FakeVivarium) {
    this.#home = home;
  }

  async create(name: string, options: PoolOptions & CallOptions & { wait?: boolean }): Promise<Pool> {
    checkName(name);
    if (this.byName.has(name)) throw new VivError('name_conflict', `There is a pool named ${name}.`);
    if (options.signal?.aborted) throw new VivError('cancelled', 'Not made.');
    const pool = new FakePool(this.#home, name, options);
    this.byName.set(name, pool);
    await pool.fill();
    return pool;
  }

  async get(name: string): Promise<Pool> {
    const found = this.byName.get(name);
    if (found === undefined) {
      throw new VivError('not_found', `No pool is named ${JSON.stringify(name)}.`, {
        hint: 'See `viv pool ls`.',
      });
    }
    return found;
  }

  async list(): Promise<PoolInfo[]> {
    return [...this.byName.values()].map(({ info }) => info);
  }
}

class FakePool implements Pool {
  readonly name: string;
  readonly options: PoolOptions;
  readonly #home: FakeVivarium;
  readonly #ready: Vm[] = [];
  readonly #acquired = new Set<string>();
  readonly #events: PoolEvent[] = [];
  #wake = Promise.withResolvers<void>();
  #filling = Promise.resolve();

  constructor(home: FakeVivarium, name: string, options: PoolOptions) {
    this.#home = home;
    this.name = name;
    const { signal: _, onProgress: __, ...rest } = options as PoolOptions & CallOptions;
    this.options = rest;
    this.#tell('created');
  }

  get info(): PoolInfo {
    const { image, size = 2, stage = 'running' } = this.options;
    const live = [...this.#home.instances.values()].filter(({ id }) => this.#acquired.has(id));
    const health = this.#ready.length + live.length < size ? 'filling' : 'full';
    return {
      name: this.name,
      image,
      size,
      stage,
      ready: this.#ready.length,
      creating: 0,
      acquired: live.length,
      health,
      createdAt: at,
    };
  }

  refresh = async () => {
    await this.#home.pools.get(this.name);
    return this.info;
  };

  /** One after the other: two at once would make too many. */
  fill(): Promise<void> {
    this.#filling = this.#filling.then(() => this.#fill());
    return this.#filling;
  }

  async #fill(): Promise<void> {
    const { size: _, stage: __, creationTimeoutMs: ___, ...create } = this.options;
    while (this.info.health === 'filling') {
      const vm = await this.#home.create(create);
      this.#home.add({ ...vm.info, pool: this.name });
      if (this.info.stage !== 'stopped') await vm.start();
      if (this.info.stage === 'suspended') await vm.suspend();
      await vm.refresh();
      this.#ready.push(vm);
      this.#tell('ready', vm.id);
    }
    this.#tell('full');
  }

  async acquire(options: CallOptions = {}): Promise<Vm> {
    if (options.signal?.aborted) throw new VivError('cancelled', 'Nobody waits any more.');
    await this.refresh();
    await this.fill();
    const vm = this.#ready.shift();
    if (vm === undefined) throw new VivError('internal', 'Nobody gives a VM back in this fake.');
    await vm.start();
    this.#acquired.add(vm.id);
    this.#tell('acquired', vm.id);
    return vm;
  }

  async release(idOrName: string): Promise<void> {
    const vm = await this.#home.get(idOrName);
    if (!this.#acquired.delete(vm.id))
      throw new VivError('not_found', `${this.name} has not handed ${vm.name} out.`);
    await vm.delete({ force: true });
    this.#tell('released', vm.id);
    await this.fill();
  }

  async *events({ since = this.#events.length, signal }: { since?: number; signal?: AbortSignal } = {}) {
    for (let next = since; !signal?.aborted; next++) {
      while (next >= this.#events.length && !signal?.aborted) {
        const aborted = Promise.withResolvers<void>();
        signal?.addEventListener('abort', () => aborted.resolve(), { once: true });
        await Promise.race([this.#wake.promise, aborted.promise]);
      }
      const event = this.#events[next];
      if (event === undefined) return;
      yield event;
      if (event.type === 'closed') return;
    }
  }

  async remove(options: { keepAcquired?: boolean } = {}): Promise<void> {
    await this.refresh();
    this.#tell('closing');
    const acquired = options.keepAcquired ? [] : this.#acquired;
    for (const id of [...this.#ready.map((vm) => vm.id), ...acquired]) {
      for (const info of this.#home.instances.values())
        if (info.id === id) this.#home.instances.delete(info.name);
    }
    this.#home.pools.byName.delete(this.name);
    this.#tell('closed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#home.pools.byName.get(this.name) === this) await this.remove();
  }

  #tell(type: PoolEvent['type'], instanceId?: string): void {
    const seq = this.#events.length + 1;
    const of = instanceId === undefined ? {} : { instanceId };
    this.#events.push({ seq, at, pool: this.name, type, ...of, data: {} });
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
