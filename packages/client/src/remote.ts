import type { Instance } from '@vivarium/api';
import { createToWire, instanceFromWire, nextPageHeader } from '@vivarium/api/wire';
import type {
  CreateOptions,
  DoctorReport,
  EventOptions,
  Images,
  InstanceEvent,
  InstanceInfo,
  ListOptions,
  MakingOptions,
  Operations,
  Page,
  Pools,
  Snapshots,
  Task,
  Templates,
  Tokens,
  Vivarium,
  Vm,
  Volumes,
} from '@vivarium/model';
import { remoteEvents } from './events.ts';
import { RemoteImages } from './images.ts';
import { longTask } from './lines.ts';
import { RemoteOperations } from './operations.ts';
import { RemotePools } from './pools.ts';
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
  readonly tokens: Tokens;
  readonly operations: Operations;
  readonly volumes: Volumes;
  readonly #transport: Transport;
  readonly #vm = (wire: Instance): Vm => new RemoteVm(this.#transport, instanceFromWire(wire));

  constructor(transport: Transport) {
    this.#transport = transport;
    this.images = new RemoteImages(transport);
    this.operations = new RemoteOperations(transport);
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

  async get(idOrName: string): Promise<Vm> {
    const { value } = await this.#transport.json<Instance>('getInstance', { params: { id: idOrName } });
    return this.#vm(value);
  }

  async list(options: ListOptions = {}): Promise<Page<InstanceInfo>> {
    const { states, tags, limit = 100, cursor } = options;
    if (states?.length === 0) return { items: [] };
    const query = { viv_state: states, tags, limit, cursor };
    const { value, headers } = await this.#transport.json<Instance[]>('listInstances', { query });
    const next = headers[nextPageHeader];
    return { items: value.map(instanceFromWire), ...(next === undefined ? {} : { next: String(next) }) };
  }

  async *all(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<InstanceInfo> {
    for (let cursor: string | undefined; ; ) {
      const page = await this.list({ ...options, cursor });
      yield* page.items;
      if (page.next === undefined) return;
      cursor = page.next;
    }
  }

  events(options: EventOptions = {}): AsyncGenerator<InstanceEvent> {
    return remoteEvents(this.#transport, options);
  }

  async doctor(options: { rebuild?: boolean } = {}): Promise<DoctorReport> {
    return (await this.#transport.json<DoctorReport>(options.rebuild ? 'rebuild' : 'doctor')).value;
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
