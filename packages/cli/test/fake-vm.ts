import { PassThrough } from 'node:stream';
import { type Action, allowed } from '@vivarium/lifecycle';
import {
  type ActionResult,
  type CallOptions,
  type Detaching,
  Exec,
  type ForkOptions,
  type Forward,
  type ForwardOptions,
  forwardPort,
  type HealthStatus,
  type InstanceInfo,
  type InstanceStats,
  isVivError,
  parseSize,
  type StartWith,
  Task,
  type UpdateOptions,
  VivError,
  type Vm,
  type VmFiles,
  type VmLimits,
  type VmSessions,
  type VmSnapshots,
  type VmStandby,
  type VmVolumes,
} from '@vivarium/model';
import { fakeConnection } from './fake-connection.ts';
import { fakeFileSteps } from './fake-files.ts';
import { forkVm } from './fake-forks.ts';
import { FakeLimits, FakeStandby } from './fake-resources.ts';
import { fakeSessions } from './fake-sessions.ts';
import { FakeVmSnapshots } from './fake-snapshots.ts';
import type { FakeVivarium } from './fake-vivarium.ts';
import { FakeVmVolumes } from './fake-volumes.ts';

const at = '2026-01-02T03:04:05.000Z';

/** A VM of a {@link FakeVivarium}: an entry in its map, and what was written into it. */
export class FakeVm implements Vm {
  readonly snapshots: VmSnapshots;
  readonly standby: VmStandby;
  readonly limits: VmLimits;
  readonly volumes: VmVolumes;
  readonly #home: FakeVivarium;
  info: InstanceInfo;

  constructor(home: FakeVivarium, info: InstanceInfo) {
    this.#home = home;
    this.info = info;
    this.snapshots = new FakeVmSnapshots(home, this);
    this.limits = new FakeLimits(this);
    this.standby = new FakeStandby(this);
    this.volumes = new FakeVmVolumes(
      home,
      () => this.info,
      (changes) => {
        this.info = { ...this.info, ...changes };
        home.add(this.info);
        return this.info;
      },
    );
  }

  keep(info: InstanceInfo): void {
    this.info = info;
    this.#home.add(info);
  }

  get id() {
    return this.info.id;
  }
  get name() {
    return this.info.name;
  }

  #to(action: Action, state: InstanceInfo['state'], told: string = action): Task<ActionResult> {
    return new Task(async () => {
      await this.refresh();
      const before = this.info.state;
      if (!allowed(before, action, { force: true }))
        throw new VivError('invalid_state', `${this.name} is ${before}.`);
      this.#home.calls.push(`${told} ${this.name}`);
      if (action === 'stop') this.#home.onStop();
      if (action === 'suspend' && before === 'Paused') this.#home.paused.add(this.id);
      // Where it was paused it is paused again.
      if (action === 'start' && before === 'Suspended' && this.#home.paused.delete(this.id)) state = 'Paused';
      const { suspendedAt: _, ...info } = this.info;
      this.info = { ...info, state, ...(state === 'Suspended' ? { suspendedAt: at } : {}) };
      this.#home.add(this.info);
      return { changed: before !== state, state };
    });
  }

  /** A boot prints what the command echoes; what goes on from saved memory does not. */
  #boot(): void {
    const [, word] = /\becho (\w+)/.exec(this.info.command.join(' ')) ?? [];
    if (word === undefined) return;
    this.#home.printed.set(this.id, [...(this.#home.printed.get(this.id) ?? []), word]);
  }

  async refresh() {
    const found = [...this.#home.instances.values()].find(({ id }) => id === this.id);
    if (found === undefined) throw new VivError('not_found', `${this.name} has been deleted.`);
    this.info = found;
    return found;
  }

  prepare = () => this.#to('prepare', 'Created');
  discard = async () => this.#to('discard', 'Stopped');
  fork = (options: ForkOptions & CallOptions = {}) =>
    new Task(async () => forkVm(this.#home, await this.refresh(), options));

  /** Left to itself, it is an operation that is never looked after. */
  #detaching(action: string): Detaching {
    const resource = { kind: 'instance', id: this.id, name: this.name };
    return { detach: async () => this.#home.operations.add(action, { background: true, resource }) };
  }

  start({ cold, cmd, entrypoint, ...call }: CallOptions & StartWith = {}): Task<ActionResult> {
    return new Task(async () => {
      await this.#home.onStart(call);
      const { state, suspendedAt } = await this.refresh();
      if (cold || (suspendedAt === undefined && state !== 'Running')) this.#boot();
      return this.#to(
        'start',
        'Running',
        `start${cold ? ' --cold' : ''}${cmd || entrypoint ? ` ${JSON.stringify({ entrypoint, cmd })}` : ''}`,
      );
    }, this.#detaching('start'));
  }

  stop = (options: { timeoutMs?: number; force?: boolean } = {}) =>
    this.#to('stop', 'Stopped', `stop${options.force ? ' -f' : ''}${options.timeoutMs ?? ''}`);
  shutdown = () => this.#to('shutdown', 'Shutdown');
  pause = async () => this.#to('pause', 'Paused');
  resume = async () => this.#to('resume', 'Running');
  restart = () => this.#to('start', 'Running', 'restart');

  suspend(options: CallOptions = {}): Task<ActionResult> {
    options.onProgress?.({ stage: 'saved', pauseMilliseconds: 7 });
    return this.#to('suspend', 'Suspended');
  }

  delete(options: { force?: boolean } = {}): Task<void> {
    return new Task(async () => {
      if (!allowed((await this.refresh()).state, 'delete', options)) {
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

  async update(options: UpdateOptions) {
    await this.refresh();
    this.#home.calls.push(`update ${this.name} ${JSON.stringify(options)}`);
    const { env } = options;
    this.info = { ...this.info, ...(env === undefined ? {} : { pendingChanges: ['env'] }) };
    this.#home.add(this.info);
    return this.info;
  }

  async waitForHealth(status: HealthStatus['status'] = 'healthy') {
    this.#home.calls.push(`wait ${status}`);
    const health = { status, consecutiveFailures: 0, consecutiveSuccesses: 1 };
    return { ...this.info, health };
  }

  async resizeDisk(size: number | string) {
    return { ...this.info, diskBytes: parseSize(size) };
  }

  #open(argv: readonly string[]) {
    if (this.info.state !== 'Running') throw new VivError('invalid_state', `${this.name} is not Running.`);
    const program = this.#home.programs[argv[0] ?? ''];
    if (program === undefined) throw new VivError('command_not_found', `exec: "${argv[0]}": not found`);
    const connection = fakeConnection(argv, program, this.name);
    this.#home.connections.push(connection);
    return connection;
  }

  exec = (argv: readonly string[], options = {}) =>
    new Exec(argv, options, async () => {
      await this.refresh();
      return this.#open(argv);
    });
  attach = async () => this.#open(this.info.command);

  async *logs() {
    yield* this.#home.logLines;
    for (const text of this.#home.printed.get(this.id) ?? []) yield { stream: 'stdout' as const, text };
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

  forward(guestPort: number, options: ForwardOptions = {}): Promise<Forward> {
    return forwardPort(() => this.connect(), guestPort, options);
  }

  async waitFor(states: InstanceInfo['state'] | InstanceInfo['state'][]) {
    this.#home.calls.push(`wait ${[states].flat().join(',')}`);
    if (this.info.autoRemove) this.#home.instances.delete(this.name);
    return { ...this.info, state: [states].flat()[0] ?? 'Stopped' };
  }

  get sessions(): VmSessions {
    return fakeSessions(this.#home, this);
  }

  get files(): VmFiles {
    const { files, calls, disks } = this.#home;
    const disk = disks.get(this.id) ?? new Map<string, Buffer>();
    disks.set(this.id, disk);
    return {
      ...fakeFileSteps(disk, calls),
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
      async stat(path) {
        const data = disk.get(path);
        if (data === undefined) throw new VivError('path_not_found', 'no such path');
        return { path, kind: 'file', sizeBytes: data.length, mode: 0o644, uid: 0, gid: 0, modifiedAt: at };
      },
      async readFile(from, { offset = 0, length } = {}) {
        const data = disk.get(from);
        if (data === undefined) throw new VivError('path_not_found', `No such file: ${from}`);
        return data.subarray(offset, length === undefined ? undefined : offset + length);
      },
      writeFile: async (to, data) => void disk.set(to, Buffer.from(data)),
    };
  }

  async [Symbol.asyncDispose]() {
    await this.delete({ force: true }).then(undefined, (error: unknown) => {
      if (!isVivError(error, 'not_found')) throw error;
    });
  }
}
