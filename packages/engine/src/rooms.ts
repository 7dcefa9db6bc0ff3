import { rm } from 'node:fs/promises';
import { totalmem } from 'node:os';
import path from 'node:path';
import { templateResource } from './engine-events.ts';
import { EngineVmSnapshots } from './engine-snapshots.ts';
import type { Ground } from './ground.ts';
import { connectGuest } from './guest/index.ts';
import { notedImages } from './images/noted.ts';
import type { Context } from './instances/context.ts';
import { capturesDir } from './instances/fork.ts';
import { InstanceRegistry } from './instances/registry.ts';
import type { EngineOptions } from './open.ts';
import { OperationDoor } from './operations/door.ts';
import { Ledger } from './operations/ledger.ts';
import { Tasks } from './operations/tasks.ts';
import { Requests } from './requests/requests.ts';
import { Admission } from './resources/admission.ts';
import { procGauge } from './resources/gauge.ts';
import { hostClock } from './service/clock.ts';
import { InstanceService } from './service/service.ts';
import { InstanceSchedule } from './snapshots/schedule.ts';
import { SnapshotScheduler } from './snapshots/scheduler.ts';
import { SnapshotRoom } from './snapshots/snapshots.ts';
import { StandbyKeeper } from './standby/index.ts';
import { noteEvent } from './store/events.ts';
import { NamedRecords } from './store/named-records.ts';
import { RequestStore } from './store/requests.ts';
import { TaskStore } from './store/tasks.ts';
import { noTemplates } from './templates/template.ts';
import { TemplateRoom } from './templates/templates.ts';
import type { VolumeRecord } from './volumes/record.ts';
import { VolumeRoom } from './volumes/room.ts';

/** The rooms of an engine, and what they all share. */
export interface Rooms {
  readonly context: Context;
  readonly registry: InstanceRegistry;
  readonly taskStore: TaskStore;
  readonly templates: TemplateRoom;
  readonly service: InstanceService;
  readonly volumes: VolumeRoom;
  readonly snapshots: SnapshotRoom;
  readonly standby: StandbyKeeper;
  readonly scheduler: SnapshotScheduler;
}

/** Rooms need the context, and the context names some of them: it asks for these once somebody asks it. */
type Later = {
  -readonly [Room in 'service' | 'volumes' | 'snapshots' | 'standby' | 'scheduler']: Rooms[Room];
};

const warn = (message: string) => process.emitWarning(message);

/** Puts the rooms together and opens them. No instance is known yet. */
export async function openRooms(
  ground: Ground,
  options: EngineOptions,
  undo: AsyncDisposableStack,
): Promise<Rooms> {
  const { home, parts, database, events, journal } = ground;
  const templates = undo.use(
    new TemplateRoom({ ...parts, connectGuest }, path.join(home, 'templates'), {
      ...(options.templates || {}),
      warn,
      changed: (info, type) => noteEvent(events, templateResource(info), type, {}),
    }),
  );
  await templates.open();
  const registry = new InstanceRegistry();
  const taskStore = new TaskStore(database.records, journal);
  const later = {} as Later;
  const source = options.templates === false ? noTemplates : templates;
  const context = contextOf(ground, { registry, taskStore, templates: source, later });
  later.service = undo.use(new InstanceService(context, registry));
  const store = new NamedRecords<VolumeRecord>(database.records, journal, 'volumes');
  const volumes = new VolumeRoom(context, path.join(home, 'volumes'), store);
  later.volumes = volumes;
  undo.defer(() => volumes.close());
  await volumes.open();
  await rm(capturesDir(context), { recursive: true, force: true });
  later.snapshots = undo.use(new SnapshotRoom(context, path.join(home, 'snapshots'), warn));
  await later.snapshots.open();
  const standby = new StandbyKeeper(context, parts.poolClock ?? hostClock);
  later.standby = standby;
  undo.defer(() => standby.close());
  registry.arrived.push((instance) => standby.add(instance));
  later.scheduler = undo.use(new SnapshotScheduler(context, later.snapshots));
  return { context, registry, taskStore, templates, ...later };
}

function contextOf(
  { home, embedded, config, parts, database, events, journal }: Ground,
  {
    registry,
    taskStore,
    templates,
    later,
  }: { registry: InstanceRegistry; taskStore: TaskStore; templates: Context['templates']; later: Later },
): Context {
  const ledger = new Ledger();
  const context: Context = {
    dir: path.join(home, 'instances'),
    ...parts,
    images: notedImages(parts.images, events),
    door: new OperationDoor(journal, ledger),
    ledger,
    tasks: new Tasks(ledger, taskStore, events),
    journal,
    requests: new Requests(new RequestStore(database, journal), warn, ledger),
    events,
    connectGuest,
    hostMemoryBytes: totalmem(),
    admission: new Admission(config, parts.gauge ?? procGauge, home, () => registry.all()),
    cgroups: parts.cgroups,
    embedded,
    instances: registry,
    templates,
    clock: parts.clock ?? hostClock,
    service: { look: (instance) => later.service.look(instance) },
    snapshotsOf: (instance) => {
      const schedule = new InstanceSchedule(context, instance, () => later.scheduler.look());
      return new EngineVmSnapshots(later.snapshots, instance, context, schedule);
    },
    get standby() {
      return later.standby;
    },
    get volumes() {
      return later.volumes;
    },
  };
  return context;
}
