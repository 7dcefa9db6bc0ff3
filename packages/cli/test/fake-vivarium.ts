import { type Duplex, PassThrough } from 'node:stream';
import {
  type ActionResult,
  type CallOptions,
  type CreateOptions,
  Exec,
  type ImageInfo,
  type InstanceInfo,
  type InstanceStats,
  type LogLine,
  parseSize,
  Task,
  type Vivarium,
  VivError,
  type Vm,
  type VmFiles,
} from '@vivarium/model';
import { type FakeConnection, fakeConnection, type Programs } from './fake-connection.ts';

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

/** A {@link Vivarium} without machines: it keeps instances in a map and notes every call. */
export class FakeVivarium implements Vivarium {
  readonly instances = new Map<string, InstanceInfo>();
  readonly calls: string[] = [];
  readonly created: CreateOptions[] = [];
  readonly imageList: ImageInfo[] = [];
  readonly files = new Map<string, Buffer>();
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

  constructor(programs: Programs = {}) {
    this.programs = programs;
  }

  add(...instances: InstanceInfo[]): this {
    for (const info of instances) this.instances.set(info.name, info);
    return this;
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
      const name = options.name ?? 'quiet-otter-1';
      call?.onProgress?.({ stage: 'creating', name, id: name });
      const command = [...(options.entrypoint ?? []), ...(options.cmd ?? ['sh'])];
      this.add(fakeInstance({ name, state: 'Stopped', command, autoRemove: options.autoRemove ?? false }));
      return this.get(name);
    });
  }

  run(image: string, options: Omit<CreateOptions, 'image'> = {}, call?: CallOptions): Task<Vm> {
    return new Task(async () => {
      const vm = await this.create({ ...options, image }, call);
      await vm.start(call);
      return vm;
    });
  }

  async get(idOrName: string): Promise<Vm> {
    const info =
      this.instances.get(idOrName) ?? [...this.instances.values()].find(({ id }) => id === idOrName);
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
    yield { seq: 1, at, instanceId: 'x', instanceName: 'web', type: 'state', data: { to: 'Running' } };
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

class FakeVm implements Vm {
  readonly #home: FakeVivarium;
  info: InstanceInfo;

  constructor(home: FakeVivarium, info: InstanceInfo) {
    this.#home = home;
    this.info = info;
  }

  get id() {
    return this.info.id;
  }
  get name() {
    return this.info.name;
  }

  #to(action: string, state: InstanceInfo['state']): Task<ActionResult> {
    return new Task(async () => {
      this.#home.calls.push(`${action} ${this.name}`);
      if (action.startsWith('stop')) this.#home.onStop();
      const changed = this.info.state !== state;
      this.info = { ...this.info, state };
      this.#home.add(this.info);
      return { changed, state };
    });
  }

  refresh = async () => this.info;
  prepare = () => this.#to('prepare', 'Created');
  start = (call?: CallOptions) =>
    new Task(async () => {
      await this.#home.onStart(call);
      return await this.#to('start', 'Running');
    });
  stop = (options: { timeoutMs?: number; force?: boolean } = {}) =>
    this.#to(`stop${options.force ? ' -f' : ''}${options.timeoutMs ?? ''}`, 'Stopped');
  shutdown = () => this.#to('shutdown', 'Shutdown');
  pause = async () => this.#to('pause', 'Paused');
  resume = async () => this.#to('resume', 'Running');
  restart = () => this.#to('restart', 'Running');

  delete(options: { force?: boolean } = {}): Task<void> {
    return new Task(async () => {
      if (this.info.state === 'Running' && !options.force) {
        throw new VivError('invalid_state', `${this.name} is Running.`, { hint: 'Use -f.' });
      }
      this.#home.calls.push(`delete ${this.name}`);
      this.#home.instances.delete(this.name);
    });
  }

  async rename(name: string) {
    this.#home.instances.delete(this.name);
    this.info = { ...this.info, name };
    this.#home.add(this.info);
    return this.info;
  }

  async resizeDisk(size: number | string) {
    return { ...this.info, diskBytes: parseSize(size) };
  }

  #open(argv: readonly string[]) {
    const program = this.#home.programs[argv[0] ?? ''];
    if (program === undefined) throw new VivError('command_not_found', `exec: "${argv[0]}": not found`);
    const connection = fakeConnection(argv, program);
    this.#home.connections.push(connection);
    return connection;
  }

  exec = (argv: readonly string[], options = {}) => new Exec(argv, options, async () => this.#open(argv));
  attach = async () => this.#open(this.info.command);

  async *logs() {
    yield* this.#home.logLines;
  }

  async stats(): Promise<InstanceStats> {
    return {
      at: new Date().toISOString(),
      cpuNanos: 1e9,
      memory: { totalBytes: 256 * 2 ** 20, usedBytes: 2 ** 20, availableBytes: 255 * 2 ** 20 },
      disk: { totalBytes: 2 ** 30, usedBytes: 2 ** 20, readBytes: 1, writtenBytes: 2 },
      network: { receivedBytes: 3, sentBytes: 4 },
      processes: 5,
    };
  }

  async console() {
    return this.#home.consoleLine ?? new PassThrough();
  }
  async connect() {
    return new PassThrough();
  }

  async waitFor(states: InstanceInfo['state'] | InstanceInfo['state'][]) {
    this.#home.calls.push(`wait ${[states].flat().join(',')}`);
    if (this.info.autoRemove) this.#home.instances.delete(this.name);
    return { ...this.info, state: [states].flat()[0] ?? 'Stopped' };
  }

  get files(): VmFiles {
    const { files, calls } = this.#home;
    return {
      copyIn: async (from, to) => {
        calls.push(`copyIn ${from} ${to}`);
        return { bytes: 1, entries: 1 };
      },
      copyOut: async (from, to) => {
        calls.push(`copyOut ${from} ${to}`);
        return { bytes: 1, entries: 1 };
      },
      putArchive: async (to, tar) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of tar) chunks.push(chunk);
        files.set(to, Buffer.concat(chunks));
        return { bytes: 1, entries: 1 };
      },
      async *getArchive(from) {
        yield files.get(from) ?? Buffer.alloc(0);
      },
      stat: async () => {
        throw new VivError('path_not_found', 'no such path');
      },
      readFile: async () => Buffer.alloc(0),
      writeFile: async () => undefined,
    };
  }

  async [Symbol.asyncDispose]() {
    await this.delete({ force: true });
  }
}
