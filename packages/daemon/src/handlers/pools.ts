import {
  type CreatePool,
  instanceToWire,
  poolEventToWire,
  poolRequestFromWire,
  poolToWire,
} from '@vivarium/api';
import { abortReason, type Pool, type PoolEvent } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { jsonForm, longCall, sinceOf, streamItems } from '../stream.ts';
import { refuseUnsupported } from './unsupported.ts';

const find = (call: Call): Promise<Pool> => call.engine.pools.get(call.params.pool ?? '');

export const createPool: Handler = async (call) => {
  const body = call.body as CreatePool;
  refuseUnsupported(body.instance, call.engine.driver);
  const { name, options, wait } = poolRequestFromWire(body);
  return longCall(
    call,
    (inner) =>
      call.engine.pools.create(name, { ...options, ...inner, ...(wait === undefined ? {} : { wait }) }),
    (pool) => poolToWire(pool.info),
  );
};

export const listPools: Handler = async ({ engine }) => (await engine.pools.list()).map(poolToWire);

export const getPool: Handler = async (call) => poolToWire(await (await find(call)).refresh());

export const deletePool: Handler = async (call) => {
  const { keep_acquired = false } = call.query as { keep_acquired?: boolean };
  const pool = await find(call);
  return longCall(
    call,
    () => pool.remove({ keepAcquired: keep_acquired }),
    () => undefined,
  );
};

export const acquireInstance: Handler = async (call) => {
  const pool = await find(call);
  return longCall(
    call,
    async (inner) => {
      // Also where no stages are asked for: a VM for somebody who has gone is nobody's. With a key he may come back for it.
      const { signal = call.signal } = inner;
      const vm = await pool.acquire({ ...inner, signal });
      if (!signal.aborted || inner.idempotencyKey !== undefined) return vm;
      await pool.release(vm.id);
      throw abortReason(signal);
    },
    (vm) => instanceToWire(vm.info),
  );
};

export const releaseInstance: Handler = async (call) => {
  await (await find(call)).release((call.body as { instance: string }).instance);
};

export const poolEvents: Handler = async (call) => {
  const since = sinceOf(call, (call.query as { since?: number }).since);
  const pool = await find(call);
  const abort = new AbortController();
  const form = jsonForm(poolEventToWire, {
    heads: ({ seq, type }: PoolEvent) => `id: ${seq}\nevent: ${type}\n`,
  });
  const options = { signal: abort.signal, ...(since === undefined ? {} : { since }) };
  return streamItems(call, pool.events(options), form, abort);
};
