import { type EventResource, type OperationReport, VivError } from '@vivarium/model';
import type { InstanceRegistry } from '../instances/registry.ts';
import type { StoredOperations } from '../store/operations.ts';
import type { TaskEnd, TaskRecord, TaskStore } from '../store/tasks.ts';

/** What a request of several operations has to have come to, to be done. */
const lastPart: Readonly<Record<string, string>> = { run: 'start', restart: 'start' };

interface Rooms {
  stored: StoredOperations;
  instances: InstanceRegistry;
  /** Whether an image of that name has come into the store since. */
  pulled(reference: string, since: string): boolean;
  /** Volumes that an operation has made. */
  volumesOf(operation: string): EventResource[];
}

/** Tells of each request that a predecessor left how it really ended. Instances have been recovered before. */
export function recoverTasks(store: TaskStore, rooms: Rooms): void {
  for (const request of store.unfinished()) {
    const end = endOf(request, rooms);
    if (end !== undefined) store.end(request.id, end);
  }
}

function endOf(request: TaskRecord, { stored, instances, pulled, volumesOf }: Rooms): TaskEnd | undefined {
  const known = stored.find(request.id);
  const parts = stored.partsOf(request.id);
  // The operation of an instance with its id: how that ended is how it ended. Where that is not known yet, it has not.
  if (parts.length === 0 && known?.resource?.kind === 'instance' && known.state !== 'running') {
    return { outcome: outcomeOf(known), error: known.error };
  }
  if (stored.isOpen(request.id) || parts.some(({ state }) => state === 'running')) return undefined;
  const { action, resource, askedAt } = request;
  if (action === 'pull' && resource !== undefined && pulled(resource.name, askedAt))
    return { outcome: 'done' };
  const volumes = volumesOf(request.id);
  if (volumes.length > 0) return { outcome: 'done', resource: resource ?? volumes[0], result: volumes };
  const left = leftBy(request, parts, instances);
  const result = left.length === 0 ? {} : { resource: left[0], result: left };
  const wanted = lastPart[action];
  if (wanted !== undefined && parts.some((part) => part.action === wanted && part.state === 'done'))
    return { outcome: 'done', ...result };
  const error = new VivError('cancelled', `The ${action} was cut off: its engine ended before it did`, {
    ...(left.length === 0 ? {} : { hint: `Left is ${left.map(({ name }) => name).join(', ')}.` }),
  });
  return { outcome: left.length === 0 ? 'undone' : 'failed', ...result, error: error.toJSON() };
}

/** Instances that it has made, or changed, and that are there. */
function leftBy(
  { action, resource }: TaskRecord,
  parts: OperationReport[],
  instances: InstanceRegistry,
): EventResource[] {
  const made = parts.filter((part) => part.action === 'create').map((part) => part.resource?.id);
  const changed = parts.length > 0 && action !== 'fork' && resource?.kind === 'instance' ? [resource.id] : [];
  return [...made, ...changed].flatMap((id) => {
    const instance = id === undefined ? undefined : instances.byId(id);
    return instance === undefined ? [] : [{ kind: 'instance', id: instance.id, name: instance.record.name }];
  });
}

function outcomeOf({ state }: OperationReport): TaskEnd['outcome'] {
  return state === 'done' || state === 'failed' ? state : 'undone';
}
