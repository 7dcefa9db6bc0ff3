import type { Instance, PoolEvent as WireEvent, Pool as WirePool } from '@vivarium/api';
import { ndjson, poolEventFromWire, poolFromWire, poolRequestToWire } from '@vivarium/api/wire';
import {
  type AskOptions,
  abortReason,
  isVivError,
  type MakingOptions,
  type Pool,
  type PoolEvent,
  type PoolInfo,
  type PoolOptions,
  type Pools,
  type Vm,
} from '@vivarium/model';
import { longTask, readLines } from './lines.ts';
import type { Send, Transport } from './transport.ts';
import { items } from './vm.ts';

/** Makes a VM of what the daemon answers. */
type ToVm = (wire: Instance) => Vm;

/** The pools of the daemon. */
export class RemotePools implements Pools {
  readonly #transport: Transport;
  readonly #vm: ToVm;

  constructor(transport: Transport, vm: ToVm) {
    this.#transport = transport;
    this.#vm = vm;
  }

  async create(name: string, options: PoolOptions & MakingOptions & { wait?: boolean }): Promise<Pool> {
    const { signal, onProgress, idempotencyKey, wait, ...rest } = options;
    const json = poolRequestToWire({ name, options: rest, wait });
    return longTask(
      this.#transport,
      'createPool',
      { json },
      { signal, onProgress, idempotencyKey },
      this.#pool,
    );
  }

  async get(name: string, { signal }: AskOptions = {}): Promise<Pool> {
    const send = { params: { pool: name }, signal };
    return this.#pool((await this.#transport.json<WirePool>('getPool', send)).value);
  }

  async list({ signal }: AskOptions = {}): Promise<PoolInfo[]> {
    return (await this.#transport.json<WirePool[]>('listPools', { signal })).value.map(poolFromWire);
  }

  readonly #pool = (wire: WirePool): Pool => new RemotePool(this.#transport, this.#vm, poolFromWire(wire));
}

class RemotePool implements Pool {
  readonly name: string;
  readonly #transport: Transport;
  readonly #vm: ToVm;
  #info: PoolInfo;

  constructor(transport: Transport, vm: ToVm, info: PoolInfo) {
    this.#transport = transport;
    this.#vm = vm;
    this.#info = info;
    this.name = info.name;
  }

  get info(): PoolInfo {
    return this.#info;
  }

  async refresh({ signal }: AskOptions = {}): Promise<PoolInfo> {
    const { value } = await this.#transport.json<WirePool>('getPool', this.#send({ signal }));
    this.#info = poolFromWire(value);
    return this.#info;
  }

  async acquire(options: MakingOptions = {}): Promise<Vm> {
    return longTask(this.#transport, 'acquireInstance', this.#send(), options, this.#vm);
  }

  async release(idOrName: string, { signal }: AskOptions = {}): Promise<void> {
    const send = this.#send({ json: { instance: idOrName }, signal });
    await this.#transport.json('releaseInstance', send);
  }

  async *events(options: { since?: number; signal?: AbortSignal } = {}): AsyncGenerator<PoolEvent> {
    const { signal } = options;
    let { since } = options;
    for (;;) {
      if (signal?.aborted) throw abortReason(signal);
      const send = this.#send({ query: { since }, accept: ndjson, signal });
      const answer = await this.#transport.send('poolEvents', send);
      try {
        const lines = readLines(answer, this.#transport.address, signal);
        for await (const wire of items<WireEvent>(lines, signal)) {
          since = wire.seq;
          yield poolEventFromWire(wire);
        }
        return;
      } catch (error) {
        // A daemon that goes is looked for again; the number of the last event says where to go on.
        if (!isVivError(error, 'daemon_unreachable')) throw error;
      }
    }
  }

  async remove({ keepAcquired, signal }: AskOptions & { keepAcquired?: boolean } = {}): Promise<void> {
    const send = this.#send({ query: { keep_acquired: keepAcquired } });
    return longTask(this.#transport, 'deletePool', send, { signal }, () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      if (!isVivError(error, 'not_found')) throw error;
    }
  }

  #send(more: Send = {}): Send {
    return { ...more, params: { pool: this.name } };
  }
}
