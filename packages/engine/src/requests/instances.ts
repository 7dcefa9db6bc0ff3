import { type CreateOptions, type ForkOptions, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { createInstance } from '../instances/create.ts';
import { deleteInstance } from '../instances/delete.ts';
import type { Instance } from '../instances/instance.ts';
import { runInstance, startOrDelete } from '../instances/run.ts';
import type { Making, MarkedCall } from './request.ts';

/** One instance, started or not. */
export function instanceMaking(
  context: Context,
  options: CreateOptions,
  { start }: { start: boolean },
): Making<Instance> {
  return {
    asked: [start ? 'run' : 'create', options],
    make: (call, note) =>
      start ? runInstance(context, options, call, note) : createInstance(context, options, call),
    ids: ({ id }) => [id],
    again: async ([id = '']) => standing(context, id),
    found: async (request, call) => {
      const [instance] = madeFor(context, request);
      if (start && instance !== undefined && neverStarted(context, instance))
        await startOrDelete(context, instance, call);
      return instance;
    },
    // One that removes itself when it stops has left nothing else.
    ended: ([id = '']) => context.journal.did(id, start ? 'start' : 'create'),
  };
}

/** Copies of one instant. `of`: what they are copies of. */
export function copiesMaking(
  context: Context,
  of: { instance: string } | { snapshot: string },
  { count = 1, name, state, tags, autoRemove, unsafeIdentity }: ForkOptions,
  make: (call: MarkedCall) => Promise<Instance[]>,
): Making<Instance[]> {
  return {
    asked: ['fork', of, { count, name, state, tags, autoRemove, unsafeIdentity }],
    make,
    ids: (copies) => copies.map(({ id }) => id),
    again: async (ids) => ids.map((id) => standing(context, id)),
    found: async (request, call) => {
      const copies = madeFor(context, request);
      if (copies.length < count) {
        // Nobody has been told of these, and the instant they are of is gone.
        await Promise.all(copies.map((copy) => deleteInstance(context, copy, { force: true })));
        return undefined;
      }
      const unstarted = copies.filter(
        (copy) => copy.record.request?.start === true && neverStarted(context, copy),
      );
      await Promise.all(unstarted.map((copy) => startOrDelete(context, copy, call)));
      return copies;
    },
  };
}

function madeFor(context: Context, request: string): Instance[] {
  return [...context.instances.all()]
    .filter(({ record }) => record.request?.id === request)
    .sort((a, b) => (a.record.request?.number ?? 0) - (b.record.request?.number ?? 0));
}

/** Its record does not say: a start that a recovery has undone leaves its times. */
const neverStarted = ({ journal }: Context, { id }: Instance): boolean => !journal.did(id, 'start');

function standing(context: Context, id: string): Instance {
  const instance = context.instances.byId(id);
  if (instance !== undefined) return instance;
  throw new VivError('not_found', 'What this request made has been deleted since', {
    details: { id },
    hint: 'Use a new idempotency key to make another one.',
  });
}
