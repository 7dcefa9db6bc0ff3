import type { Duplex } from 'node:stream';
import {
  type CallOptions,
  type CreateOptions,
  type DaemonInfo,
  type ImageInfo,
  type InstanceInfo,
  type LogLine,
  nextName,
  parseSize,
  type SessionInfo,
  type SnapshotScheduleInfo,
  Task,
  type Vivarium,
  VivError,
  type Vm,
} from '@vivarium/model';
import type { FakeConnection, Programs } from './fake-connection.ts';
import { FakeOperations } from './fake-operations.ts';
import { FakePools } from './fake-pools.ts';
import { FakeResources } from './fake-resources.ts';
import { FakeSnapshots } from './fake-snapshots.ts';
import { FakeTemplates } from './fake-templates.ts';
import { FakeTokens } from './fake-tokens.ts';
import { FakeVm } from './fake-vm.ts';
import { FakeVolumes } from './fake-volumes.ts';

const at = '2026-01-02T03:04:05.000Z';

export function fakeInstance(options: Partial<InstanceInfo> & { name: string }): InstanceInfo {
  return {
    id: `${options.name}xxxxxxxxxxxxxxxxxxxxxxxx`.slice(0, 24),
    state: 'Running',
    image: { reference: 'docker.io/library/busybox:latest', digest: `sha256:${'ab'.repeat(32)}` },
    cpus: 1,
    memoryBytes: parseSize('256MB'),
    diskBytes: parseSize('10GB'),
    env: {},
    command: ['sh'],
    user: 'root',
    cwd: '/',
    hostname: options.name,
    tags: {},
    ports: [],
    stopTimeoutMs: 5000,
    autoRemove: false,
    generation: 1,
    createdAt: at,
    startedAt: at,
    driver: 'simulated',
    ...options,
  };
}

export function checkName(name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name))
    throw new VivError('invalid_name', `Not a name: ${JSON.stringify(name)}`);
}

/** A {@link Vivarium} without machines: it keeps instances in a map and notes every call. */
export class FakeVivarium implements Vivarium {
  readonly snapshots = new FakeSnapshots(this);
  readonly templates = new FakeTemplates();
  readonly pools = new FakePools(this);
  readonly resources = new FakeResources();
  readonly tokens = new FakeTokens();
  readonly operations = new FakeOperations();
  readonly volumes = new FakeVolumes(this);
  readonly instances = new Map<string, InstanceInfo>();
  /** Commands that were left in each instance. */
  readonly sessions = new Map<string, SessionInfo[]>();
  readonly schedules = new Map<string, SnapshotScheduleInfo>();
  readonly calls: string[] = [];
  readonly created: CreateOptions[] = [];
  readonly imageList: ImageInfo[] = [];
  /** Archives by their path, whichever VM it is in. */
  readonly files = new Map<string, Buffer>();
  /** Single files by instance and path. */
  readonly disks = new Map<string, Map<string, Buffer>>();
  /** What the command of each instance has printed over its boots. */
  readonly printed = new Map<string, string[]>();
  /** Ids of suspended VMs that were paused. */
  readonly paused = new Set<string>();
  /** Names of VMs whose agent does not answer. */
  readonly deaf = new Set<string>();
  /** Every session that was opened. */
  readonly connections: FakeConnection[] = [];
  /** Called by a stop: a scripted command that should end then. */
  onStop: () => unknown = () => undefined;
  /** Called by a start before anything else. */
  onStart: (call?: CallOptions) => unknown = () => undefined;
  /** What a console is; without one, a line that says back what it is told. */
  consoleLine: Duplex | undefined;
  logLines: LogLine[] = [];
  programs: Programs;
  /** What `create` and `run` throw instead of doing anything. */
  failure: VivError | undefined;
  /** Where the daemon listens on TCP. */
  url: string | undefined;
  #ids = 0;

  constructor(programs: Programs = {}) {
    this.programs = programs;
  }

  add(...instances: InstanceInfo[]): this {
    for (const info of instances) this.instances.set(info.name, info);
    return this;
  }

  async daemon(): Promise<DaemonInfo> {
    return { version: '0.0.0', ...(this.url === undefined ? {} : { url: this.url }) };
  }

  readonly images: Vivarium['images'] = {
    list: async () => this.imageList,
    get: async (reference) => {
      const found = this.imageList.find(({ references }) =>
        references.some((name) => name.includes(reference)),
      );
      if (found === undefined) throw new VivError('image_not_found', `No image ${reference}`);
      return found;
    },
    pull: (reference, options) =>
      new Task(async () => {
        options?.onProgress?.({ stage: 'resolving', reference });
        options?.onProgress?.({
          stage: 'layer',
          digest: 'sha256:11',
          receivedBytes: 5,
          totalBytes: 5,
          done: true,
        });
        const image = fakeImage(reference);
        options?.onProgress?.({ stage: 'image-ready', digest: image.digest, reference });
        return image;
      }),
    import: (path, options) =>
      new Task(async () => {
        this.calls.push(`import ${path} ${options?.reference ?? ''}`.trim());
        return [fakeImage(options?.reference ?? 'imported')];
      }),
    tag: async (_reference, newReference) => fakeImage(newReference),
    remove: async (reference) => {
      if (reference === 'used') throw new VivError('conflict', 'web uses it', { hint: 'viv rm web' });
      return { digest: 'sha256:11', untagged: [reference], deleted: true, freedBytes: 1024 };
    },
  };

  create(options: CreateOptions, call?: CallOptions): Task<Vm> {
    return new Task(async () => {
      if (this.failure !== undefined) throw this.failure;
      this.created.push(options);
      const name = options.name ?? this.inventName();
      if (this.instances.has(name)) throw new VivError('name_conflict', `There is a VM named ${name}.`);
      call?.onProgress?.({ stage: 'creating', name, id: name });
      const command = [...(options.entrypoint ?? []), ...(options.cmd ?? ['sh'])];
      const { autoRemove = false, tags = {}, autoStandby, wake, limits } = options;
      const standby = {
        ...(limits && { limits }),
        ...(autoStandby && { autoStandby }),
        ...(wake && { wake }),
      };
      this.add(
        fakeInstance({ id: this.newId(), name, state: 'Stopped', command, autoRemove, tags, ...standby }),
      );
      return this.get(name);
    });
  }

  run(image: string, options: Omit<CreateOptions, 'image'> = {}, call?: CallOptions): Task<Vm> {
    return new Task(async () => {
      const vm = await this.create({ ...options, image }, call);
      await vm.start();
      return vm;
    });
  }

  newId(): string {
    return `x${String(++this.#ids).padStart(23, '0')}`;
  }

  inventName(): string {
    return nextName('quiet-otter-%d', this.instances.keys());
  }

  async get(idOrName: string): Promise<Vm> {
    const all = [...this.instances.values()];
    const info =
      this.instances.get(idOrName) ??
      all.find(({ id }) => id === idOrName) ??
      all.find(({ id }) => idOrName.length > 5 && id.startsWith(idOrName));
    if (info === undefined) {
      throw new VivError('not_found', `No VM is named ${JSON.stringify(idOrName)}.`, {
        hint: 'See `viv ls`.',
      });
    }
    return new FakeVm(this, info);
  }

  async list() {
    return { items: [...this.instances.values()] };
  }

  async *all(options: { states?: string[]; tags?: Record<string, string> } = {}) {
    for (const info of this.instances.values()) {
      if (options.states !== undefined && !options.states.includes(info.state)) continue;
      if (Object.entries(options.tags ?? {}).some(([key, value]) => info.tags[key] !== value)) continue;
      yield info;
    }
  }

  async *events() {
    const resource = { kind: 'instance', id: 'x', name: 'web' };
    yield {
      seq: 1,
      at,
      resource,
      instanceId: 'x',
      instanceName: 'web',
      type: 'state',
      data: { to: 'Running' },
    };
  }

  async doctor() {
    return {
      ok: false,
      checks: [{ name: 'kvm', status: 'failed' as const, message: 'no /dev/kvm', hint: 'none' }],
    };
  }

  async [Symbol.asyncDispose]() {
    this.calls.push('closed');
  }
}

export function fakeImage(reference: string): ImageInfo {
  return {
    digest: `sha256:${'cd'.repeat(32)}`,
    references: [`docker.io/library/${reference}:latest`],
    config: { entrypoint: [], cmd: ['sh'], env: {}, user: '', workingDir: '/', exposedPorts: [], labels: {} },
    architecture: 'amd64',
    layers: [{ digest: 'sha256:11', sizeBytes: 2_000_000 }],
    sizeBytes: 2_000_000,
    importedAt: at,
    usedBy: [],
  };
}
