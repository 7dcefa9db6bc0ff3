import {
  type AskOptions,
  type CallOptions,
  type CreateOptions,
  type DoctorReport,
  type EventOptions,
  type EventResource,
  everyPage,
  type Images,
  type InstanceEvent,
  type InstanceInfo,
  type ListOptions,
  type MakingOptions,
  type Page,
  type Resources,
  refuseAborted,
  type Snapshots,
  type Task,
  type Templates,
  type Vivarium,
  type Volumes,
} from '@vivarium/model';
import type { Capabilities } from './drivers/driver.ts';
import { daemonResource, instanceResource, readOptions } from './engine-events.ts';
import { EngineImages } from './engine-images.ts';
import type { EngineOperations } from './engine-operations.ts';
import { EngineSnapshots } from './engine-snapshots.ts';
import { EngineTemplates } from './engine-templates.ts';
import { EngineVolumes } from './engine-volumes.ts';
import type { Context } from './instances/context.ts';
import type { Instance } from './instances/instance.ts';
import { listInstances } from './instances/list.ts';
import type { InstanceRegistry } from './instances/registry.ts';
import { type EngineUsage, engineUsage } from './instances/usage.ts';
import { instanceInfo, sharedInfo } from './instances/view.ts';
import type { Origin } from './operations/ledger.ts';
import type { EnginePools } from './pools/index.ts';
import { rebuild, strayDirectories } from './rebuild.ts';
import { instanceMaking } from './requests/instances.ts';
import { EngineResources } from './resources/engine-resources.ts';
import type { SnapshotRoom } from './snapshots/snapshots.ts';
import type { UseKind } from './standby/uses.ts';
import { awake } from './standby/wake.ts';
import { noteEvent } from './store/events.ts';
import type { TemplateRoom } from './templates/templates.ts';
import { EngineVm } from './vm.ts';
import { rebuildVolumes, strayVolumes } from './volumes/recover.ts';

/** Milliseconds that operations under way have to end before closing takes them back. */
const closeMs = 5000;

/** Lets go of lock and database at once and tells nobody, as a kill would: what tests of recovery need. */
export const abandon = Symbol('abandon');

interface Rooms {
  templates: TemplateRoom;
  snapshots: SnapshotRoom;
  pools: EnginePools;
  service: Disposable;
  operations: EngineOperations;
  /** What the owner of the data directory is called to others. */
  program: string;
}

/** The in-process Vivarium: owns a data directory and everything in it. Made by {@link openEngine}. */
export class Engine implements Vivarium {
  /** The data directory. */
  readonly home: string;
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly templates: Templates;
  readonly pools: EnginePools;
  readonly operations: EngineOperations;
  readonly resources: Resources;
  readonly volumes: Volumes;
  readonly #context: Context;
  readonly #program: string;
  readonly #registry: InstanceRegistry;
  readonly #templates: TemplateRoom;
  readonly #service: Disposable;
  readonly #resources: AsyncDisposableStack;
  #closed: Promise<void> | undefined;

  constructor(
    home: string,
    context: Context,
    registry: InstanceRegistry,
    { templates, snapshots, pools, operations, program, service }: Rooms,
    resources: AsyncDisposableStack,
  ) {
    this.home = home;
    this.#program = program;
    this.pools = pools;
    this.#service = service;
    this.operations = operations;
    this.#context = context;
    this.#registry = registry;
    this.#resources = resources;
    this.resources = new EngineResources(context);
    this.images = new EngineImages(context, snapshots, templates);
    this.templates = new EngineTemplates(context, templates);
    this.volumes = new EngineVolumes(context);
    this.#templates = templates;
    this.snapshots = new EngineSnapshots(context, snapshots, (instance) => this.#vm(instance));
  }

  get driver(): string {
    return this.#context.driver.name;
  }

  capabilities(): Capabilities {
    return this.#context.driver.capabilities();
  }

  create(options: CreateOptions, call: MakingOptions = {}): Task<EngineVm> {
    return this.#make(options, false, call);
  }

  run(image: string, options: Omit<CreateOptions, 'image'> = {}, call: MakingOptions = {}): Task<EngineVm> {
    return this.#make({ ...options, image }, true, call);
  }

  async get(idOrName: string, options: AskOptions = {}): Promise<EngineVm> {
    refuseAborted(options);
    return this.lookUp(idOrName);
  }

  /** As {@link Engine.get}, at once. */
  lookUp(idOrName: string): EngineVm {
    return this.#vm(this.#registry.find(idOrName));
  }

  /** Wakes an instance that sleeps, where `use` may: for a door that looks at its state before it uses it. */
  async awake(idOrName: string, use: UseKind, signal?: AbortSignal): Promise<void> {
    await awake(this.#context, this.#registry.find(idOrName), use, signal);
  }

  async list(options: ListOptions = {}): Promise<Page<InstanceInfo>> {
    refuseAborted(options);
    return listInstances(this.#registry, (instance) => instanceInfo(instance, this.driver), options);
  }

  /**
   * As {@link Engine.list}, for a door that keeps what it has made of an instance: the same frozen object as long as nothing
   * about the instance has changed.
   */
  listShared(options: ListOptions = {}): Page<Readonly<InstanceInfo>> {
    return listInstances(this.#registry, (instance) => sharedInfo(instance, this.driver), options);
  }

  all(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<InstanceInfo> {
    return everyPage((page) => this.list(page), options);
  }

  events(options: EventOptions = {}): AsyncIterable<InstanceEvent> {
    return this.#context.events.read(readOptions(this.#context, options));
  }

  /** As {@link Engine.events}, as many at a time as there are. All readers are given the same objects. */
  eventBatches(options: EventOptions = {}): AsyncIterable<readonly InstanceEvent[]> {
    return this.#context.events.readBatches(readOptions(this.#context, options));
  }

  /** Stores an event about something that whoever has this engine keeps beside it. */
  note(about: EventResource, type: string, data: Record<string, unknown> = {}): void {
    noteEvent(this.#context.events, about, type, data);
  }

  /** What all instances are, and what those with a VMM use of this host. */
  usage(): Promise<EngineUsage> {
    return engineUsage(this.#context);
  }

  /** How many events are held. */
  get storedEvents(): number {
    return this.#context.events.size;
  }

  /** Number of the newest stored event. */
  get lastEvent(): number {
    return this.#context.events.last;
  }

  /**
   * A long call that a door makes of several: it is one operation, which is left to itself with `detach()`. Of an equal action
   * that `work` begins it is the same.
   */
  request<T>(
    asked: { action: string; resource?: EventResource; result?: (value: T) => EventResource[] | undefined },
    call: CallOptions,
    work: (call: CallOptions) => Promise<T>,
  ): Task<T> {
    return this.#context.tasks.task(asked, call, work);
  }

  /** Whatever `work` begins is done in the name of that HTTP request. */
  from<T>(origin: Origin, work: () => T): T {
    return this.#context.ledger.from(origin, work);
  }

  async doctor(options: AskOptions & { rebuild?: boolean } = {}): Promise<DoctorReport> {
    refuseAborted(options);
    const checks = await this.#context.doctor(this.home);
    if (options.rebuild)
      checks.push(
        ...(await rebuildVolumes(this.#context)),
        ...(await rebuild(this.#context, this.#registry)),
      );
    const lost = await strayVolumes(this.#context);
    if (lost.length > 0) {
      checks.push({
        name: 'volumes',
        status: 'warning',
        message: `${lost.length} volume directories are not in the database`,
        hint: 'Restore them with `viv doctor --rebuild`.',
      });
    }
    const stray = await strayDirectories(this.#context, this.#registry);
    if (stray.length > 0) {
      checks.push({
        name: 'records',
        status: 'warning',
        message: `${stray.length} instance directories are not in the database`,
        hint: 'Restore them with `viv doctor --rebuild`.',
      });
    }
    return { ok: checks.every(({ status }) => status !== 'failed'), checks };
  }

  /** Lets go of everything. A daemon's VMs, and detached ones, go on; the others are ended. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async [abandon](): Promise<void> {
    this.#service[Symbol.dispose]();
    this.pools.abandon();
    this.#context.tasks.forgetAll();
    this.#context.door.forgetAll();
    this.#templates.forgetAll();
    for (const instance of this.#registry.all()) {
      instance.sought = false;
      instance.guest = undefined;
      instance.machine = undefined;
    }
    await this.#resources.disposeAsync();
  }

  async #close(): Promise<void> {
    this.#service[Symbol.dispose]();
    const { door, tasks, embedded, events } = this.#context;
    if (!embedded) noteEvent(events, daemonResource(this.#program), 'stopping', { pid: process.pid });
    // First of all: what is being made for a pool is taken back while everything is still there for it.
    await this.pools.close();
    await this.#context.standby.close();
    door.admitOnly('stop', 'delete');
    const late = setTimeout(() => {
      tasks.interruptAll('shutdown of the engine');
      door.interruptAll('shutdown of the engine');
    }, closeMs);
    await tasks.quiet();
    await door.quiet();
    clearTimeout(late);
    await Promise.all([...this.#registry.all()].map((instance) => this.#release(instance, embedded)));
    await door.quiet();
    door.admitOnly();
    await this.#resources.disposeAsync();
  }

  async #release(instance: Instance, embedded: boolean): Promise<void> {
    const { machine, guest } = instance;
    instance.sought = false;
    if (machine === undefined) return;
    if (embedded && !instance.record.spec.detached) {
      const vm = this.#vm(instance);
      await (instance.record.spec.autoRemove ? vm.delete({ force: true }) : vm.stop({ force: true }));
      return;
    }
    // Nobody reconnects to what is let go on purpose.
    instance.guest = undefined;
    instance.machine = undefined;
    await guest?.[Symbol.asyncDispose]();
    await machine[Symbol.asyncDispose]();
  }

  #vm(instance: Instance): EngineVm {
    return new EngineVm(this.#context, instance);
  }

  #make(
    options: CreateOptions,
    start: boolean,
    { signal, onProgress, idempotencyKey }: MakingOptions,
  ): Task<EngineVm> {
    const asked = { action: start ? 'run' : 'create', result: (vm: EngineVm) => [instanceResource(vm)] };
    return this.#context.tasks.task(asked, { signal, onProgress }, async (inner) => {
      const making = instanceMaking(this.#context, options, { start });
      return this.#vm(await this.#context.requests.once({ ...inner, idempotencyKey }, making));
    });
  }
}
