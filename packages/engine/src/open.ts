import { Engine } from './engine.ts';
import { daemonResource, volumeResource } from './engine-events.ts';
import { EngineOperations } from './engine-operations.ts';
import { type Ground, takeGround } from './ground.ts';
import { bootId } from './host/identity.ts';
import { recoverInstance } from './instances/adopt.ts';
import { watchClock } from './instances/clock.ts';
import type { Context } from './instances/context.ts';
import { Instance } from './instances/instance.ts';
import type { InstanceRegistry } from './instances/registry.ts';
import { recoverTasks } from './operations/recover.ts';
import type { Parts } from './parts.ts';
import { EnginePools } from './pools/index.ts';
import type { PoolRecord } from './pools/record.ts';
import { openRooms, type Rooms } from './rooms.ts';
import { NamedRecords } from './store/named-records.ts';
import { StoredOperations } from './store/operations.ts';
import type { TemplateOptions } from './templates/templates.ts';
import { settleDisks } from './volumes/recover.ts';

export interface EngineOptions {
  /**
   * The data directory; one engine owns it at a time. Default for `daemon`: `$VIV_HOME` or its default. Default for
   * `embedded`: a temporary one, removed when the engine is closed.
   */
  home?: string;
  /** `qemu` (default), `simulated`, or parts of one's own. */
  driver?: 'qemu' | 'simulated' | Parts;
  /** `embedded` (default): VMs end with this process unless created `detached`. `daemon`: they outlive it. */
  mode?: 'daemon' | 'embedded';
  /** What the owner of the data directory is called to others. Default: `vivd` or this program's name. */
  program?: string;
  /** Of booted memory that starts go on from; false: every start is a boot. */
  templates?: TemplateOptions | false;
  /** Put a damaged database aside and restore what the records beside the disks say. */
  rebuild?: boolean;
}

/** How many instances are looked at at once when an engine opens. */
const recoverAtOnce = 32;

/**
 * Opens a data directory: takes its lock, finds every VM where it really is, and finishes or undoes what a predecessor
 * left half-done.
 *
 * @throws VivError `data_dir_locked`, `assets_missing`, and `internal` for a damaged database.
 */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  await using undo = new AsyncDisposableStack();
  const ground = await takeGround(options, undo);
  const rooms = await openRooms(ground, options, undo);
  const { context, registry } = rooms;
  const operations = new EngineOperations(context, await recover(ground, rooms));
  undo.use(watchClock(registry));
  const { home, program, parts, embedded } = ground;
  const pools = new EnginePools(
    context,
    new NamedRecords<PoolRecord>(ground.database.records, ground.journal, 'pools'),
    parts.poolClock,
  );
  const engine = new Engine(home, context, registry, { ...rooms, pools, operations, program }, undo.move());
  try {
    if (options.rebuild) await engine.doctor({ rebuild: true });
    await rooms.service.open(home, await (parts.bootId ?? bootId)());
  } catch (error) {
    // The engine has it all by now, and nobody will have the engine.
    await engine.close();
    throw error;
  }
  pools.recover();
  if (!embedded) engine.note(daemonResource(program), 'started', { pid: process.pid, driver: engine.driver });
  rooms.scheduler.look();
  return engine;
}

/** Finds every VM where it is, then what else a predecessor has left half-done; answers the operations it had. */
async function recover(
  { database, parts }: Ground,
  { context, registry, snapshots, taskStore }: Rooms,
): Promise<StoredOperations> {
  await recoverAll(context, registry);
  for (const instance of registry.all()) await snapshots.resume(instance);
  await settleDisks(context);
  const stored = new StoredOperations(database.records);
  recoverTasks(taskStore, {
    stored,
    instances: registry,
    pulled: (reference, since) => (parts.images.find(reference)?.importedAt ?? '') >= since,
    volumesOf: (operation) => context.volumes.madeBy(operation).map(volumeResource),
  });
  return stored;
}

async function recoverAll(context: Context, registry: InstanceRegistry): Promise<void> {
  const unfinished = new Map(context.journal.unfinished().map((entry) => [entry.instanceId, entry]));
  const uncertain: Instance[] = [];
  const inOrder = context.journal
    .records()
    .sort((a, b) => (a.createdAt + a.id < b.createdAt + b.id ? -1 : 1));
  for (const record of inOrder) {
    const instance = new Instance(record, context.dir, context.events);
    registry.add(instance);
    const overdue = record.spec.autoRemove && record.exit !== undefined;
    if (record.phase !== 'made' || unfinished.has(record.id) || overdue) uncertain.push(instance);
  }
  const recoverNext = async () => {
    for (let instance = uncertain.pop(); instance !== undefined; instance = uncertain.pop()) {
      await recoverInstance(context, instance, unfinished.get(instance.id));
    }
  };
  await Promise.all(Array.from({ length: recoverAtOnce }, recoverNext));
}
