import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import {
  type CallOptions,
  type ForkOptions,
  type ForkState,
  isPattern,
  numbered,
  VivError,
} from '@vivarium/model';
import { createId } from '../ids.ts';
import type { Operation } from '../operations/operation.ts';
import type { MarkedCall } from '../requests/request.ts';
import { refuseWithAutoRemove } from '../service/options.ts';
import { type InstanceRecord, writeRecord } from '../store/record.ts';
import { expectAsSaved, expectShareable, expectStillShareable } from '../volumes/in-use.ts';
import { deadlines } from './actions.ts';
import { savedDir } from './capture.ts';
import type { Context } from './context.ts';
import { deleteInstance } from './delete.ts';
import { Instance } from './instance.ts';
import { newMachineId } from './launch.ts';
import { checkName, inventName } from './names.ts';
import { linkState, type Origin } from './origin.ts';
import { resurrect } from './restore.ts';
import { startInstance } from './start.ts';

export const mostCopies = 1000;
/** Copies that are made at a time: each waits for its disk and for others a sixth of the time. */
const mostAtOnce = 2 * availableParallelism() + 1;

/** @throws VivError `invalid_request`, `invalid_name`. */
export function checkForkOptions({ count = 1, name, state }: ForkOptions, was: ForkState): void {
  if (!Number.isInteger(count) || count < 1 || count > mostCopies)
    throw new VivError('invalid_request', `Not a number of copies: ${count}`, {
      hint: `1 to ${mostCopies}.`,
    });
  if (name !== undefined) {
    if (count > 1 && !isPattern(name))
      throw new VivError('invalid_request', `${count} copies can't all be called ${name}`, {
        hint: `Let \`%d\` stand for their numbers: \`${name}-%d\`.`,
      });
    checkName(numbered(name, count));
  }
  if (was === 'stopped' && (state === 'paused' || state === 'suspended'))
    throw new VivError('invalid_state', `A stopped source has no memory: a copy of it can't be ${state}`, {
      hint: 'Copy it to `stopped` or `running`.',
    });
}

interface Making {
  call: MarkedCall;
  snapshotId?: string;
  /** Called by each copy once it needs nothing of the origin any more. Not by one that loads nothing, or fails. */
  loaded?: (number: number) => void;
}

/** Whether the first copy can be made ready while the source, which runs, is still being saved. */
export const canBeginAhead = ({ state = 'running' }: ForkOptions): boolean =>
  state === 'running' || state === 'paused';

/** The first copy, on its own. */
export async function makeFirst(
  context: Context,
  origin: Origin,
  options: ForkOptions,
  making: Making,
): Promise<Instance> {
  expectCopyable(context, origin, options);
  return makeNumbered(context, origin, options, { ...making, number: 1 });
}

/** All of them, or none: where one can't be made the others are deleted. `first`: has been begun already. */
export async function makeCopies(
  context: Context,
  origin: Origin,
  options: ForkOptions,
  { first, ...making }: Making & { first?: Promise<Instance> },
): Promise<Instance[]> {
  expectCopyable(context, origin, options);
  const { count = 1 } = options;
  const made: Instance[] = [];
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const failures: unknown[] = [];
  const work = async () => {
    for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
      try {
        const begun = number === 1 ? first : undefined;
        made.push(await (begun ?? makeNumbered(context, origin, options, { ...making, number })));
      } catch (error) {
        failures.push(error);
        numbers.length = 0;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, mostAtOnce) }, work));
  if (failures.length === 0) return made.sort((a, b) => byNumber(a) - byNumber(b));
  await Promise.all(made.map((copy) => unmake(context, copy)));
  throw failures[0];
}

const order = new WeakMap<Instance, number>();
const byNumber = (copy: Instance): number => order.get(copy) ?? 0;

function expectCopyable(context: Context, origin: Origin, { state = origin.was }: ForkOptions): void {
  const { volumes } = origin.record;
  expectShareable(context, volumes);
  if (origin.state !== undefined && state !== 'stopped') expectAsSaved(context, volumes, volumes);
}

function makeNumbered(
  context: Context,
  origin: Origin,
  options: ForkOptions,
  { call, snapshotId, loaded, number }: Making & { number: number },
): Promise<Instance> {
  const { state = origin.was } = options;
  const record = copyRecord(context, origin, options, number, { snapshotId, request: call.request });
  return makeCopy(context, origin, record, { state, call, loaded: () => loaded?.(number) });
}

/** Has a copy be gone. One that is gone already is no failure. */
export async function unmake(context: Context, copy: Instance): Promise<void> {
  if (copy.gone) return;
  await deleteInstance(context, copy, { force: true }).catch((error: unknown) => {
    copy.emit('warning', { message: `Not removed: ${VivError.from(error).message}` });
  });
}

function copyRecord(
  context: Context,
  { record, state: memory }: Origin,
  { name: pattern, tags, autoRemove, state }: ForkOptions,
  number: number,
  { snapshotId, request }: { snapshotId: string | undefined; request: string | undefined },
): { record: InstanceRecord; number: number } {
  const taken = (name: string) => [...context.instances.all()].some((other) => other.record.name === name);
  const name = pattern === undefined ? inventName(taken) : numbered(pattern, number);
  const { spec } = record;
  if (autoRemove) refuseWithAutoRemove(spec);
  return {
    number,
    record: {
      format: 1,
      id: createId(),
      name,
      spec: {
        ...spec,
        hostname: name,
        // The source has its ports; a copy gets others.
        ports: spec.ports.map((port) => ({ ...port, hostPort: 0 })),
        tags: tags ?? spec.tags,
        autoRemove: autoRemove ?? false,
        attach: false,
      },
      phase: 'defined',
      machineId: newMachineId(),
      generation: record.generation,
      ports: [],
      ...(record.volumes === undefined ? {} : { volumes: record.volumes }),
      createdAt: new Date().toISOString(),
      forkedFrom: { instanceId: record.id, ...(snapshotId === undefined ? {} : { snapshotId }) },
      ...(request === undefined
        ? {}
        : { request: { id: request, number, start: memory === undefined && state === 'running' } }),
    },
  };
}

async function makeCopy(
  context: Context,
  origin: Origin,
  { record, number }: { record: InstanceRecord; number: number },
  { state, call, loaded }: { state: ForkState; call: CallOptions; loaded: () => void },
): Promise<Instance> {
  const copy = new Instance(record, context.dir, context.events);
  order.set(copy, number);
  const capacity = await context.admission.diskCapacity();
  // Synchronous from here to where it is registered: of a writer and a reader of a volume one loses.
  context.admission.judgeDisk(record.spec.diskBytes, capacity);
  expectStillShareable(context, record.volumes);
  context.instances.add(copy);
  try {
    await context.door.run(
      copy,
      { action: 'create', deadlineMs: deadlines.create, signal: call.signal, onProgress: call.onProgress },
      (operation) => bringAbout(context, copy, operation, origin, { state, loaded }),
    );
  } catch (error) {
    copy.gone = true;
    context.instances.remove(copy);
    throw error;
  }
  if (state === 'running' && origin.state === undefined) await startOrUnmake(context, copy, call);
  return copy;
}

async function startOrUnmake(context: Context, copy: Instance, call: CallOptions): Promise<void> {
  try {
    await startInstance(context, copy, call);
  } catch (error) {
    await unmake(context, copy);
    throw error;
  }
}

async function bringAbout(
  context: Context,
  copy: Instance,
  operation: Operation,
  origin: Origin,
  { state, loaded }: { state: ForkState; loaded: () => void },
): Promise<void> {
  const { id, name, spec } = copy.record;
  let told = false;
  operation.undo('forget the copy', () => {
    if (told) copy.emit('deleted', {});
    copy.gone = true;
    context.instances.remove(copy);
    if (copy.record.nic !== undefined) context.network.release(copy.record.nic);
  });
  copy.enter('Cloning');
  operation.progress({ stage: 'copying', name, id });
  operation.step('make the disk');
  operation.undo('remove the directory', () => rm(copy.dir, { recursive: true, force: true }));
  await mkdir(copy.dir, { recursive: true, mode: 0o700 });
  const { disk } = origin;
  await context.disks.copy(disk?.dir ?? origin.dir, copy.dir, { prepared: disk?.prepared === true });
  disk?.copied();
  copy.change({ phase: 'made' });
  if (state === 'suspended' && origin.state !== undefined) await keepSuspended(copy, origin);
  told = true;
  copy.emit('created', { image: spec.image, forkedFrom: copy.record.forkedFrom });
  if (origin.state === undefined || state === 'stopped' || state === 'suspended') {
    // What is launched writes it then.
    operation.meanwhile(writeRecord(copy.dir, copy.record));
    return;
  }
  using _room = await context.admission.reserve(copy);
  copy.enter('Restoring');
  await resurrect(context, copy, operation, origin.state, {
    state,
    loaded,
    frozen: origin.frozen,
    identity: { copy: true, resetConnections: true },
  });
}

async function keepSuspended(copy: Instance, { dir, frozen }: Origin): Promise<void> {
  await linkState(dir, savedDir(copy));
  copy.change({
    suspended: { at: new Date().toISOString(), was: 'running', frozen, layered: true, copy: true },
  });
}
