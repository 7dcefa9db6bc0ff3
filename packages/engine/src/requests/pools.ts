import { type PoolOptions, VivError, type Vm } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { PoolKeeper } from '../pools/keeper.ts';
import { EngineVm } from '../vm.ts';
import type { Making, MarkedCall } from './request.ts';

/** One VM of a pool. What was given back, or was of no use, is replaced by another. */
export function acquisition(context: Context, keeper: PoolKeeper): Making<Vm> {
  return {
    asked: ['acquire', keeper.record.id],
    make: (call) => keeper.acquire(call),
    ids: ({ id }) => [id],
    again: async ([id = '']) => {
      const instance = context.instances.byId(id);
      return instance && new EngineVm(context, instance);
    },
    found: (_request, call) => keeper.givenTo(call),
  };
}

/** What making a pool needs of all of them. */
export interface PoolRoom {
  make(call: MarkedCall): Promise<PoolKeeper>;
  /** Of the pool with this id, or that a request was made for. */
  find(which: { id: string } | { request: string }): PoolKeeper | undefined;
  /** Resolves once a removal that is under way has ended. */
  removed(keeper: PoolKeeper): Promise<void>;
}

export function poolMaking(
  room: PoolRoom,
  name: string,
  options: PoolOptions & { wait: boolean },
): Making<PoolKeeper> {
  return {
    asked: ['pool', name, options],
    make: (call) => room.make(call),
    ids: ({ record }) => [record.id],
    again: async ([id = '']) => {
      const keeper = room.find({ id });
      if (keeper !== undefined) return keeper;
      throw new VivError('not_found', `The pool ${name} that this request made has been removed since`, {
        details: { id },
      });
    },
    found: async (request) => {
      const keeper = room.find({ request });
      if (keeper === undefined || keeper.record.phase === 'open') return keeper;
      // Nobody had its first VM yet: it goes by itself.
      await room.removed(keeper);
      return undefined;
    },
  };
}
