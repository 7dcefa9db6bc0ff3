import type { Health, Instance } from '@vivarium/api';
import { createToWire, instanceFromWire, pageOf } from '@vivarium/api/wire';
import {
  type AskOptions,
  abortReason,
  type CreateOptions,
  type DaemonInfo,
  type DoctorReport,
  type EventOptions,
  everyPage,
  type Images,
  type InstanceEvent,
  type InstanceInfo,
  type ListOptions,
  type MakingOptions,
  type Operations,
  type Page,
  type Pools,
  type Resources,
  type Snapshots,
  type Task,
  type Templates,
  type Tokens,
  type Vivarium,
  type Vm,
  type Volumes,
} from '@vivarium/model';
import { remoteEvents } from './events.ts';
import { RemoteImages } from './images.ts';
import { longTask } from './lines.ts';
import { RemoteOperations } from './operations.ts';
import { RemotePools } from './pools.ts';
import { RemoteResources } from './resources.ts';
import { RemoteSnapshots } from './snapshots.ts';
import { RemoteTemplates } from './templates.ts';
import { RemoteTokens } from './tokens.ts';
import type { Transport } from './transport.ts';
import { RemoteVm } from './vm.ts';
import { RemoteVolumes } from './volumes.ts';

/** Vivarium through its daemon. Made by {@link connect}. */
export class RemoteVivarium implements Vivarium {
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly templates: Templates;
  readonly pools: Pools;
  readonly resources: Resources;
  readonly tokens: Tokens;
  readonly operations: Operations;
  readonly volumes: Volumes;
  readonly #transport: Transport;
  readonly #vm = (wire: Instance): Vm => new RemoteVm(this.#transport, instanceFromWire(wire));

  constructor(transport: Transport) {
    this.#transport = transport;
    this.images = new RemoteImages(transport);
    this.operations = new RemoteOperations(transport);
    this.resources = new RemoteResources(transport);
    this.pools = new RemotePools(transport, this.#vm);
    this.templates = new RemoteTemplates(transport);
    this.tokens = new RemoteTokens(transport);
    this.volumes = new RemoteVolumes(transport);
    this.snapshots = new RemoteSnapshots(transport, this.#vm);
  }

  create(options: CreateOptions, call: MakingOptions = {}): Task<Vm> {
    return this.#create(options, false, call);
  }

  run(image: string, options: Omit<CreateOptions, 'image'> = {}, call: MakingOptions = {}): Task<Vm> {
    return this.#create({ ...options, image }, true, call);
  }

  async get(idOrName: string, { signal }: AskOptions = {}): Promise<Vm> {
    const send = { params: { id: idOrName }, signal };
    const { value } = await this.#transport.json<Instance>('getInstance', send);
    return this.#vm(value);
  }

  async list(options: ListOptions = {}): Promise<Page<InstanceInfo>> {
    const { states, tags, limit = 100, cursor, signal } = options;
    if (signal?.aborted) throw abortReason(signal);
    if (states?.length === 0) return { items: [] };
    const query = { viv_state: states, tags, limit, cursor };
    const { value, headers } = await this.#transport.json<Instance[]>('listInstances', { query, signal });
    return pageOf(value.map(instanceFromWire), headers);
  }

  all(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<InstanceInfo> {
    return everyPage((page) => this.list(page), options);
  }

  events(options: EventOptions = {}): AsyncGenerator<InstanceEvent> {
    return remoteEvents(this.#transport, options);
  }

  async doctor({ rebuild, signal }: AskOptions & { rebuild?: boolean } = {}): Promise<DoctorReport> {
    return (await this.#transport.json<DoctorReport>(rebuild ? 'rebuild' : 'doctor', { signal })).value;
  }

  async daemon({ signal }: AskOptions = {}): Promise<DaemonInfo> {
    const { version, pid, home, url } = (await this.#transport.json<Health>('health', { signal })).value;
    return {
      version,
      ...(pid === undefined ? {} : { pid }),
      ...(home === undefined ? {} : { home }),
      ...(url === undefined ? {} : { url }),
    };
  }

  /** Lets go of the connections. VMs and daemon go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport.close();
  }

  #create(options: CreateOptions, start: boolean, call: MakingOptions): Task<Vm> {
    const json = createToWire(options, start);
    return longTask(this.#transport, 'createInstance', { json }, call, this.#vm);
  }
}
