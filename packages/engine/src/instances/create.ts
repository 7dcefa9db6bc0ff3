import { mkdir, rm } from 'node:fs/promises';
import type { CallOptions, CreateOptions } from '@vivarium/model';
import { createId } from '../ids.ts';
import { digestPrefix, normalizeReference } from '../images/reference.ts';
import type { MarkedCall } from '../requests/request.ts';
import { expiryOf } from '../service/options.ts';
import { type PoolMark, writeRecord } from '../store/record.ts';
import { claimAll } from '../volumes/attachments.ts';
import { deadlines } from './actions.ts';
import type { Context } from './context.ts';
import { Instance } from './instance.ts';
import { newMachineId } from './launch.ts';
import { inventName } from './names.ts';
import { checkOptions, resolveSpec } from './resolve.ts';

/**
 * Makes an instance and leaves it Stopped. What is wrong with the options is said before anything is fetched; when
 * anything fails nothing is left. `pool`: who it is made for.
 */
export async function createInstance(
  context: Context,
  options: CreateOptions,
  call: MarkedCall = {},
  pool?: PoolMark,
): Promise<Instance> {
  checkOptions(options, hostOf(context));
  const diskCapacity = await context.admission.diskCapacity();
  expiryOf(options, context.clock.now());
  claimAll(context, options.volumes);
  const image = await context.images.ensure(options.image, options.pull ?? 'missing', call);
  const name =
    options.name ??
    inventName((taken) => [...context.instances.all()].some(({ record }) => record.name === taken));
  const id = createId();
  const now = context.clock.now();
  // A pull may have taken longer than a time to end was away: it is then over at once.
  const expiresAt = options.expiresAt ?? expiryOf({ ttlMs: options.ttlMs }, now);
  // Again: what was free may have been taken while the image came. Synchronous from here to where it is written down.
  const volumes = claimAll(context, options.volumes);
  const instance = new Instance(
    {
      format: 1,
      id,
      name,
      spec: resolveSpec(options, name, image, referenceOf(options.image)),
      phase: 'defined',
      machineId: newMachineId(),
      generation: 0,
      ports: [],
      createdAt: new Date().toISOString(),
      ...(volumes.length === 0 ? {} : { volumes }),
      ...(pool === undefined ? {} : { pool }),
      ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
      ...(call.request === undefined ? {} : { request: { id: call.request } }),
    },
    context.dir,
    context.events,
  );
  context.admission.judgeDisk(instance.record.spec.diskBytes, diskCapacity);
  // Synchronous from the check of the name to the lock: of two creates with one name one loses here.
  context.instances.add(instance);
  try {
    await make(context, instance, call);
  } catch (error) {
    // It may not even have begun.
    instance.gone = true;
    context.instances.remove(instance);
    throw error;
  }
  return instance;
}

function make(context: Context, instance: Instance, call: CallOptions): Promise<void> {
  const { id, name } = instance.record;
  return context.door.run(
    instance,
    { action: 'create', deadlineMs: deadlines.create, signal: call.signal, onProgress: call.onProgress },
    async (operation) => {
      operation.undo('forget the instance', () => {
        instance.gone = true;
        context.instances.remove(instance);
      });
      instance.enter('Cloning');
      operation.progress({ stage: 'creating', name, id });
      operation.step('make the directory');
      operation.undo('remove the directory', () => rm(instance.dir, { recursive: true, force: true }));
      await mkdir(instance.dir, { recursive: true, mode: 0o700 });
      operation.step('make the root disk');
      await context.disks.create(instance.dir, instance.record.spec.diskBytes, operation.signal);
      operation.step('write the record');
      instance.change({ phase: 'made' });
      await writeRecord(instance.dir, instance.record);
      instance.emit('created', { image: instance.record.spec.image });
    },
  );
}

/** What an instance may be as large as. */
export function hostOf(context: Context): { memoryBytes: number; maxCpus: number; diskBytes?: number } {
  const { config } = context.admission;
  const most = (configured: number, there: number) => Math.min(configured || there, there);
  return {
    memoryBytes: most(config['resources.perInstance.memory'], context.hostMemoryBytes),
    maxCpus: most(config['resources.perInstance.cpus'], context.driver.capabilities().maxCpus),
    ...(config['resources.perInstance.disk'] === 0
      ? {}
      : { diskBytes: config['resources.perInstance.disk'] }),
  };
}

/** The name as it is shown; what was asked for by digest has no other. */
export function referenceOf(asked: string): string {
  return digestPrefix(asked) === undefined ? normalizeReference(asked) : asked;
}
