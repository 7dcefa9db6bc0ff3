import { type ListOptions, type Page, VivError, withTags } from '@vivarium/model';
import type { Instance } from './instance.ts';
import { type InstanceRegistry, positionOf } from './registry.ts';

const defaultLimit = 100;
const mostAtOnce = 1000;

/** One page, in the order of creation, of what `view` shows. Reads memory only. @throws VivError `invalid_request`. */
export function listInstances<T>(
  registry: InstanceRegistry,
  view: (instance: Instance) => T,
  options: ListOptions,
): Page<T> {
  const limit = options.limit ?? defaultLimit;
  if (!Number.isInteger(limit) || limit < 1 || limit > mostAtOnce) {
    throw new VivError('invalid_request', `Not a page size: ${limit}`, { hint: `1 to ${mostAtOnce}.` });
  }
  const fits = filter(options);
  const items: T[] = [];
  let last: Instance | undefined;
  for (const instance of registry.after(positionIn(options.cursor))) {
    if (!fits(instance)) continue;
    // One more than asked for tells that there is a next page.
    if (last !== undefined && items.length === limit) {
      return { items, next: Buffer.from(positionOf(last)).toString('base64url') };
    }
    last = instance;
    items.push(view(instance));
  }
  return { items };
}

function positionIn(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const position = Buffer.from(cursor, 'base64url').toString();
  if (/^\d{4}-\S+Z \S+$/.test(position)) return position;
  throw new VivError('invalid_request', 'Not a cursor', {
    hint: 'Give the `next` of the page before, as it came.',
  });
}

function filter({ states, tags }: ListOptions): (instance: Instance) => boolean {
  const wanted = withTags(tags);
  return ({ state, record }) =>
    (states === undefined || states.length === 0 || states.includes(state)) && wanted(record.spec.tags);
}
