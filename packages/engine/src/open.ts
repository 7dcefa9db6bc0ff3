import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { dataDir, VivError } from '@vivarium/model';
import { readConfig } from './config/index.ts';
import { Engine } from './engine.ts';
import { daemonResource, templateResource } from './engine-events.ts';
import { EngineOperations } from './engine-operations.ts';
import { EngineVmSnapshots } from './engine-snapshots.ts';
import { connectGuest } from './guest/index.ts';
import { bootId, readIdentity } from './host/identity.ts';
import { notedImages } from './images/noted.ts';
import { recoverInstance } from './instances/adopt.ts';
import { watchClock } from './instances/clock.ts';
import type { Context } from './instances/context.ts';
import { capturesDir } from './instances/fork.ts';
import { Instance } from './instances/instance.ts';
import { InstanceRegistry } from './instances/registry.ts';
import { OperationDoor } from './operations/door.ts';
import { Ledger } from './operations/ledger.ts';
import { recoverTasks } from './operations/recover.ts';
import { Tasks } from './operations/tasks.ts';
import { type Parts, qemuParts, simulatedParts } from './parts.ts';
import { EnginePools } from './pools/index.ts';
import { Requests } from './requests/requests.ts';
import { Admission } from './resources/admission.ts';
import { procGauge } from './resources/gauge.ts';
import { hostClock } from './service/clock.ts';
import { InstanceService } from './service/service.ts';
import { InstanceSchedule } from './snapshots/schedule.ts';
import { SnapshotScheduler } from './snapshots/scheduler.ts';
import { SnapshotRoom } from './snapshots/snapshots.ts';
import { StandbyKeeper } from './standby/index.ts';
import { openDatabase } from './store/database.ts';
import { EventLog, noteEvent } from './store/events.ts';
import { Journal } from './store/journal.ts';
import { DataDirLock } from './store/lock.ts';
import { StoredOperations } from './store/operations.ts';
import { PoolStore } from './store/pools.ts';
import { RequestStore } from './store/requests.ts';
import { keepReserve } from './store/reserve.ts';
import { TaskStore } from './store/tasks.ts';
import { VolumeStore } from './store/volumes.ts';
import { noTemplates } from './templates/template.ts';
import { type TemplateOptions, TemplateRoom } from './templates/templates.ts';
import { settleDisks } from './volumes/recover.ts';
import { VolumeRoom } from './volumes/room.ts';

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
  const embedded = (options.mode ?? 'embedded') === 'embedded';
  const temporary = embedded && options.home === undefined;
  const home = temporary
    ? await mkdtemp(path.join(tmpdir(), 'vivarium-'))
    : path.resolve(options.home ?? dataDir());
  const given = typeof options.driver === 'object' ? options.driver.config : undefined;
  const config = given ?? (await readConfig(home));
  await using undo = new AsyncDisposableStack();
  if (temporary) undo.defer(() => rm(home, { recursive: true, force: true }));
  await mkdir(path.join(home, 'instances'), { recursive: true, mode: 0o700 });

  const program = options.program ?? (embedded ? path.basename(process.argv[1] ?? 'node') : 'vivd');
  const identity = await readIdentity(process.pid);
  if (identity === undefined) throw new VivError('internal', 'This process is not in /proc');
  undo.use(DataDirLock.acquire(home, { ...identity, program, since: new Date().toISOString() }));
  const database = undo.use(openDatabase(home, { rebuild: options.rebuild }));
  const events = undo.use(new EventLog(database.events));

  const driver = options.driver ?? 'qemu';
  const parts = await (driver === 'qemu'
    ? qemuParts(home)
    : driver === 'simulated'
      ? simulatedParts()
      : driver);
  await parts.images.recover();
  const templates = undo.use(
    new TemplateRoom({ ...parts, connectGuest }, path.join(home, 'templates'), {
      ...(options.templates || {}),
      warn: (message) => process.emitWarning(message),
      changed: (info, type) => noteEvent(events, templateResource(info), type, {}),
    }),
  );
  await templates.open();
  const journal = new Journal(database.records, undefined, undo.use(keepReserve(home)));
  const registry = new InstanceRegistry();
  const gauge = parts.gauge ?? procGauge;
  const clock = parts.clock ?? hostClock;
  const ledger = new Ledger();
  const taskStore = new TaskStore(database.records, journal);
  const context: Context = {
    dir: path.join(home, 'instances'),
    ...parts,
    images: notedImages(parts.images, events),
    door: new OperationDoor(journal, ledger),
    ledger,
    tasks: new Tasks(ledger, taskStore, events),
    journal,
    requests: new Requests(new RequestStore(database, journal), (message) => process.emitWarning(message)),
    events,
    connectGuest,
    hostMemoryBytes: totalmem(),
    admission: new Admission(config, gauge, home, () => registry.all()),
    // Needs the context; nothing is looked after before it is here.
    standby: undefined as unknown as StandbyKeeper,
    cgroups: parts.cgroups,
    embedded,
    instances: registry,
    templates: options.templates === false ? noTemplates : templates,
    clock,
    service: { look: (instance) => service.look(instance) },
    snapshotsOf: (instance) =>
      new EngineVmSnapshots(
        snapshots,
        instance,
        context,
        new InstanceSchedule(context, instance, () => scheduler.look()),
      ),
    get volumes() {
      return volumes;
    },
  };
  const service = undo.use(new InstanceService(context, registry));
  const volumes = new VolumeRoom(
    context,
    path.join(home, 'volumes'),
    new VolumeStore(database.records, journal),
  );
  undo.defer(() => volumes.close());
  await volumes.open();
  await rm(capturesDir(context), { recursive: true, force: true });
  const snapshots = undo.use(
    new SnapshotRoom(context, path.join(home, 'snapshots'), (message) => process.emitWarning(message)),
  );
  await snapshots.open();
  const standby = new StandbyKeeper(context, parts.poolClock ?? hostClock);
  context.standby = standby;
  undo.defer(() => standby.close());
  registry.arrived.push((instance) => standby.add(instance));
  const scheduler = undo.use(new SnapshotScheduler(context, snapshots));
  await recoverAll(context, registry);
  for (const instance of registry.all()) await snapshots.resume(instance);
  await settleDisks(context);
  const stored = new StoredOperations(database.records);
  recoverTasks(taskStore, {
    stored,
    instances: registry,
    pulled: (reference, since) => (parts.images.find(reference)?.importedAt ?? '') >= since,
  });
  const operations = new EngineOperations(context, stored);
  undo.use(watchClock(registry));
  const pools = new EnginePools(context, new PoolStore(database.records, journal), parts.poolClock);
  const engine = new Engine(
    home,
    context,
    registry,
    { templates, snapshots, pools, operations, program, service },
    undo.move(),
  );
  try {
    if (options.rebuild) await engine.doctor({ rebuild: true });
    await service.open(home, await (parts.bootId ?? bootId)());
  } catch (error) {
    // The engine has it all by now, and nobody will have the engine.
    await engine.close();
    throw error;
  }
  pools.recover();
  if (!embedded) engine.note(daemonResource(program), 'started', { pid: process.pid, driver: engine.driver });
  scheduler.look();
  return engine;
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
