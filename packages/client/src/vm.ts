import type { Duplex } from 'node:stream';
import type { ExecStart, Instance, Stats, WaitAnswer } from '@vivarium/api';
import {
  actionFromWire,
  type EndpointName,
  forkToWire,
  instanceFromWire,
  longestWaitMs,
  ndjson,
  statsFromWire,
  updateToWire,
} from '@vivarium/api/wire';
import type { State } from '@vivarium/lifecycle';
import {
  type ActionResult,
  type AskOptions,
  type CallOptions,
  Exec,
  type ExecConnection,
  type ExecOptions,
  type ForkOptions,
  type Forward,
  type ForwardOptions,
  forwardPort,
  type HealthStatus,
  type InstanceInfo,
  type InstanceStats,
  isVivError,
  type LogLine,
  type LogOptions,
  type MakingOptions,
  type StartWith,
  type Task,
  type TerminalSize,
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
import { RemoteFiles } from './files.ts';
import { RemoteVmLimits } from './limits.ts';
import { longTask, readLines } from './lines.ts';
import { RemoteSessions } from './sessions.ts';
import { RemoteVmSnapshots } from './snapshots.ts';
import { RemoteVmStandby } from './standby.ts';
import type { Send, Transport } from './transport.ts';
import { RemoteVmVolumes } from './volumes.ts';

/** A VM behind the daemon. */
export class RemoteVm implements Vm {
  readonly id: string;
  readonly files: VmFiles;
  readonly sessions: VmSessions;
  readonly snapshots: VmSnapshots;
  readonly standby: VmStandby;
  readonly limits: VmLimits;
  readonly volumes: VmVolumes;
  readonly #transport: Transport;
  #info: InstanceInfo;

  constructor(transport: Transport, info: InstanceInfo) {
    this.#transport = transport;
    this.#info = info;
    this.id = info.id;
    this.files = new RemoteFiles(transport, info.id);
    this.limits = new RemoteVmLimits(transport, info.id, (wire) => this.#keep(wire));
    this.standby = new RemoteVmStandby(transport, info.id, (wire) => this.#keep(wire));
    this.sessions = new RemoteSessions(transport, info.id);
    this.snapshots = new RemoteVmSnapshots(transport, info.id, (wire) => this.#keep(wire));
    this.volumes = new RemoteVmVolumes(transport, info.id, (wire) => this.#keep(wire));
  }

  get name(): string {
    return this.#info.name;
  }

  get info(): InstanceInfo {
    return this.#info;
  }

  async refresh({ signal }: AskOptions = {}): Promise<InstanceInfo> {
    return this.#keep((await this.#transport.json<Instance>('getInstance', this.#send({ signal }))).value);
  }

  prepare(options: CallOptions = {}): Task<ActionResult> {
    return this.#action('prepareInstance', options);
  }

  start(options: CallOptions & StartWith = {}): Task<ActionResult> {
    const { cold, cmd, entrypoint } = options;
    return this.#action('startInstance', options, { cold, cmd, entrypoint });
  }

  stop(options: CallOptions & { timeoutMs?: number; force?: boolean } = {}): Task<ActionResult> {
    return this.#action('stopInstance', options, { timeout_ms: options.timeoutMs, force: options.force });
  }

  shutdown(options: CallOptions = {}): Task<ActionResult> {
    return this.#action('shutdownInstance', options);
  }

  async pause(options: CallOptions = {}): Promise<ActionResult> {
    return this.#action('pauseInstance', options);
  }

  async resume(options: CallOptions = {}): Promise<ActionResult> {
    return this.#action('resumeInstance', options);
  }

  suspend(options: CallOptions = {}): Task<ActionResult> {
    return this.#action('suspendInstance', options);
  }

  async discard(options: CallOptions = {}): Promise<ActionResult> {
    return this.#action('discardInstance', options);
  }

  fork(options: ForkOptions & MakingOptions = {}): Task<Vm[]> {
    const send = this.#send({ json: forkToWire(options) });
    return longTask(this.#transport, 'forkInstances', send, options, (wires: Instance[]) =>
      wires.map((wire) => new RemoteVm(this.#transport, instanceFromWire(wire))),
    );
  }

  restart(options: CallOptions & { timeoutMs?: number } = {}): Task<ActionResult> {
    return this.#action('restartInstance', options, { timeout_ms: options.timeoutMs });
  }

  delete(options: CallOptions & { force?: boolean } = {}): Task<void> {
    const query = { force: options.force ?? false };
    return longTask(this.#transport, 'deleteInstance', this.#send({ query }), options, () => undefined);
  }

  rename(name: string, options: AskOptions = {}): Promise<InstanceInfo> {
    return this.update({ name }, options);
  }

  async update(options: UpdateOptions, { signal }: AskOptions = {}): Promise<InstanceInfo> {
    const send = this.#send({ json: updateToWire(options), signal });
    return this.#keep((await this.#transport.json<Instance>('updateInstance', send)).value);
  }

  resizeDisk(size: number | string, options: AskOptions = {}): Promise<InstanceInfo> {
    return this.update({ disk: size }, options);
  }

  exec(argv: readonly string[], options: ExecOptions = {}): Exec {
    const { env, cwd, user, tty, target, stdin, signal } = options;
    const start: ExecStart = {
      command: [...argv],
      env,
      cwd,
      user,
      target,
      stdin: stdin !== undefined,
      ...(tty === undefined ? {} : { tty: true, ...tty }),
    };
    return new Exec(argv, options, () => this.#link('exec', start, signal));
  }

  attach(options: { signal?: AbortSignal; tty?: TerminalSize } = {}): Promise<ExecConnection> {
    return this.#link('attach', { ...options.tty }, options.signal);
  }

  async *logs(options: LogOptions = {}): AsyncGenerator<LogLine> {
    const { source, tail, follow, signal } = options;
    const query = { source, follow, tail: tail === undefined ? 'all' : String(tail) };
    const answer = await this.#transport.send('instanceLogs', this.#send({ query, accept: ndjson, signal }));
    yield* items<LogLine>(readLines(answer, this.#transport.address, signal), signal);
  }

  async stats({ signal }: AskOptions = {}): Promise<InstanceStats> {
    return statsFromWire((await this.#transport.json<Stats>('instanceStats', this.#send({ signal }))).value);
  }

  async console(options: { signal?: AbortSignal } = {}): Promise<Duplex> {
    return this.#duplex('console', this.#send(options), options.signal);
  }

  async connect(port: number, options: { host?: string; signal?: AbortSignal } = {}): Promise<Duplex> {
    const { host, signal } = options;
    return this.#duplex('tunnel', this.#send({ query: { port, host }, signal }), signal);
  }

  forward(guestPort: number, options: ForwardOptions = {}): Promise<Forward> {
    return forwardPort((port, more) => this.connect(port, more), guestPort, options);
  }

  async waitFor(
    states: State | State[],
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<InstanceInfo> {
    const wanted = [states].flat();
    return this.#wait({ viv_state: wanted }, wanted.join(' or '), options);
  }

  waitForHealth(
    status: HealthStatus['status'] = 'healthy',
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<InstanceInfo> {
    return this.#wait({ health: status }, status, options);
  }

  async #wait(
    what: { viv_state?: State[]; health?: string },
    wanted: string,
    { timeoutMs = 60_000, signal }: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<InstanceInfo> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const left = Math.max(0, deadline - Date.now());
      const query = { ...what, timeout: `${Math.min(left, longestWaitMs)}ms` };
      const { value } = await this.#transport.json<WaitAnswer>('waitInstance', this.#send({ query, signal }));
      const info = value.instance === undefined ? await this.refresh({ signal }) : this.#keep(value.instance);
      if (!value.timed_out) return info;
      if (left > longestWaitMs) continue;
      throw new VivError(
        'timeout',
        `${this.name} is ${what.health === undefined ? info.state : (info.health?.status ?? 'unknown')}, not ${wanted}, after ${timeoutMs / 1000} s`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.delete({ force: true });
    } catch (error) {
      if (!isVivError(error, 'not_found')) throw error;
    }
  }

  #send(more: Send = {}): Send {
    return { ...more, params: { id: this.id } };
  }

  #keep(wire: Instance): InstanceInfo {
    this.#info = instanceFromWire(wire);
    return this.#info;
  }

  #action(name: EndpointName, options: CallOptions, body: object = {}): Task<ActionResult> {
    return longTask(this.#transport, name, this.#send({ json: body }), options, (wire: Instance) => {
      this.#keep(wire);
      return actionFromWire(wire);
    });
  }

  async #link(route: 'exec' | 'attach', start: ExecStart, signal?: AbortSignal): Promise<ExecConnection> {
    // WebSockets are loaded by the first command: a listing shall not wait for them.
    const { ExecLink } = await import('./exec-link.ts');
    return ExecLink.open({ transport: this.#transport, id: this.id, route, start, signal });
  }

  async #duplex(name: 'console' | 'tunnel', send: Send, signal?: AbortSignal): Promise<Duplex> {
    const [{ openSocket }, { openDuplex }] = await Promise.all([
      import('./socket.ts'),
      import('./duplex.ts'),
    ]);
    return openDuplex(await openSocket(this.#transport, name, send), signal);
  }
}

/** The items of a stream of lines; one that is an error is thrown. An abort by the reader ends it. */
export async function* items<T>(
  lines: AsyncIterable<unknown>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  try {
    for await (const line of lines) {
      const { error } = line as { error?: { code: string; message: string } };
      if (error !== undefined) throw VivError.fromRecord(error);
      yield line as T;
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}
