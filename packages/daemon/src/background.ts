import { operationToWire, preferenceAppliedHeader, preferHeader, respondAsync } from '@vivarium/api';
import { EngineVm } from '@vivarium/engine';
import type { CallOptions, EventResource } from '@vivarium/model';
import { Accepted, type Call } from './call.ts';

/** What a route does is called; the others are called as they are themselves. */
const actions: Readonly<Record<string, string>> = {
  createImage: 'pull',
  importImage: 'import',
  deleteInstance: 'delete',
  startInstance: 'start',
  stopInstance: 'stop',
  restartInstance: 'restart',
  prepareInstance: 'prepare',
  pauseInstance: 'pause',
  resumeInstance: 'resume',
  shutdownInstance: 'shutdown',
  suspendInstance: 'suspend',
  discardInstance: 'discard',
  restoreInstance: 'start',
  forkInstance: 'fork',
  forkInstances: 'fork',
  forkSnapshot: 'fork',
  forkSnapshots: 'fork',
  createSnapshot: 'snapshot',
  restoreSnapshot: 'restore-snapshot',
  warmTemplates: 'warm',
  createPool: 'create-pool',
  deletePool: 'delete-pool',
  acquireInstance: 'acquire',
  importVolume: 'import-volume',
  cloneVolume: 'clone-volume',
  snapshotVolume: 'snapshot-volume',
};

function actionOf({ route, body }: Call): string {
  if (route.name === 'createInstance')
    return (body as { start?: boolean }).start === false ? 'create' : 'run';
  return actions[route.name] ?? route.name;
}

/** What it is done to, as far as the path or the body names it. */
async function resourceOf({ engine, route, params, body }: Call): Promise<EventResource | undefined> {
  if (route.path.startsWith('/instances/{id}')) {
    const found = engine.lookUp(params.id ?? '');
    return { kind: 'instance', id: found.id, name: found.name };
  }
  if (route.path.startsWith('/volumes/{id}')) {
    const found = await engine.volumes.get(params.id ?? '');
    return { kind: 'volume', id: found.id, name: found.name };
  }
  if (params.pool !== undefined) return { kind: 'pool', id: '', name: params.pool };
  const { name } = (body ?? {}) as { name?: string };
  return route.name === 'createImage' && name !== undefined ? { kind: 'image', id: '', name } : undefined;
}

/** Whether the client does not want to wait, or (seconds) how long. RFC 7240. */
function preference({ incoming }: Call): { waitMs: number } | undefined {
  const asked = [incoming.headers[preferHeader] ?? []].flat().join(',');
  const parts = asked.split(/[,;]/).map((part) => part.trim().toLowerCase());
  if (!parts.includes(respondAsync)) return undefined;
  const wait = parts.map((part) => /^wait\s*=\s*"?(\d{1,5})"?$/.exec(part)?.[1]).find(Boolean);
  return { waitMs: Math.min(Number(wait ?? 0), 300) * 1000 };
}

export const prefersAsync = (call: Call): boolean =>
  call.route.progress === true && preference(call) !== undefined;

/** VMs that came out of it; what else did, whoever made it has told. */
function vmsIn(result: unknown): EventResource[] | undefined {
  const vms = [result].flat().filter((one) => one instanceof EngineVm);
  return vms.length === 0 ? undefined : vms.map(({ id, name }) => ({ kind: 'instance', id, name }));
}

/**
 * Begins a long call that goes on whatever becomes of its client, and answers 202 with its operation; or, within the time that the
 * client is ready to wait, its result. What is wrong with it as things are is a plain error. `uploaded`: when all that the client has to
 * send is here; until then it may not leave.
 */
export async function inBackground<T>(
  call: Call,
  work: (options: CallOptions) => PromiseLike<T>,
  toWire: (result: T) => unknown,
  uploaded?: Promise<void>,
): Promise<unknown> {
  const asked = { action: actionOf(call), resource: await resourceOf(call), result: vmsIn };
  const task = call.engine.request(asked, {}, async (inner) => work(inner));
  if (uploaded !== undefined) await Promise.race([uploaded, task]);
  const { id } = await task.detach();
  const waitMs = preference(call)?.waitMs ?? 0;
  if (waitMs > 0) {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), waitMs);
    try {
      const done = await Promise.race([task.then((result) => ({ result })), late]);
      if (done !== undefined) return toWire(done.result);
    } finally {
      clearTimeout(timer);
    }
  }
  call.headers.location = `/operations/${id}`;
  call.headers[preferenceAppliedHeader] = respondAsync;
  return new Accepted(operationToWire(await call.engine.operations.get(id)));
}
