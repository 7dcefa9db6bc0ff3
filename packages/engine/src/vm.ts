import type { Duplex } from 'node:stream';
import type { State } from '@vivarium/lifecycle';
import {
  type ActionResult,
  type AskOptions,
  type CallOptions,
  type EventResource,
  Exec,
  type ExecConnection,
  type ExecOffsets,
  type ExecOptions,
  type ForkOptions,
  type Forward,
  type ForwardOptions,
  forwardPort,
  type HealthStatus,
  type InstanceInfo,
  type InstanceStats,
  type LogLine,
  type LogOptions,
  type MakingOptions,
  type ResumableExecConnection,
  refuseAborted,
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
  within,
} from '@vivarium/model';
import { instanceResource } from './engine-events.ts';
import { EngineVmVolumes } from './engine-volumes.ts';
import { GuestFiles } from './files.ts';
import type { GuestExecConnection } from './guest/guest.ts';
import { invalidState } from './instances/actions.ts';
import type { Context } from './instances/context.ts';
import { deleteInstance } from './instances/delete.ts';
import { attach, guestOf, resumeExec, startExec } from './instances/exec.ts';
import { forkInstance } from './instances/fork.ts';
import type { Instance } from './instances/instance.ts';
import { restartInstance } from './instances/restart.ts';
import { rootSession } from './instances/session-ids.ts';
import { shutdownInstance } from './instances/shutdown.ts';
import { prepareInstance, startInstance } from './instances/start.ts';
import { instanceStats } from './instances/stats.ts';
import { stopInstance } from './instances/stop.ts';
import { discardInstance, suspendInstance } from './instances/suspend.ts';
import { updateInstance } from './instances/update.ts';
import { pauseInstance, resumeInstance } from './instances/vcpus.ts';
import { instanceInfo } from './instances/view.ts';
import { waitForInstance } from './instances/wait.ts';
import { EngineVmLimits } from './limits/vm-limits.ts';
import { readLog } from './logs/read.ts';
import { copiesMaking } from './requests/instances.ts';
import { waitForHealth } from './service/health/wait.ts';
import { InstanceSessions } from './sessions.ts';
import { EngineVmStandby } from './standby/index.ts';
import { using, usingSession, usingStream } from './standby/wake.ts';

/** Milliseconds the agent has to answer a small question. */
const answerMs = 10_000;

/** A VM of the in-process engine. */
export class EngineVm implements Vm {
  readonly #context: Context;
  readonly #instance: Instance;
  readonly files: VmFiles;
  readonly sessions: VmSessions;
  readonly snapshots: VmSnapshots;
  readonly standby: VmStandby;
  readonly limits: VmLimits;
  readonly volumes: VmVolumes;

  constructor(context: Context, instance: Instance) {
    this.snapshots = context.snapshotsOf(instance);
    this.volumes = new EngineVmVolumes(context, instance);
    this.#context = context;
    this.#instance = instance;
    this.files = new GuestFiles(instance, (work, signal) => using(context, instance, 'files', work, signal));
    this.limits = new EngineVmLimits(context, instance);
    this.standby = new EngineVmStandby(context, instance);
    this.sessions = new InstanceSessions(context, instance);
  }

  get id(): string {
    return this.#instance.id;
  }

  get name(): string {
    return this.#instance.record.name;
  }

  get info(): InstanceInfo {
    return instanceInfo(this.#instance, this.#context.driver.name);
  }

  async refresh(options: AskOptions = {}): Promise<InstanceInfo> {
    refuseAborted(options);
    if (this.#instance.gone) throw new VivError('not_found', `${this.name} has been deleted`);
    return this.info;
  }

  prepare(options: CallOptions = {}): Task<ActionResult> {
    return this.#task('prepare', options, (call) => prepareInstance(this.#context, this.#instance, call));
  }

  start(options: CallOptions & StartWith = {}): Task<ActionResult> {
    const { cold, cmd, entrypoint } = options;
    return this.#task('start', options, (call) =>
      startInstance(this.#context, this.#instance, { ...call, cold, cmd, entrypoint }),
    );
  }

  stop(options: CallOptions & { timeoutMs?: number; force?: boolean } = {}): Task<ActionResult> {
    return this.#task('stop', options, (call) =>
      stopInstance(this.#context, this.#instance, { ...options, ...call }),
    );
  }

  shutdown(options: CallOptions = {}): Task<ActionResult> {
    return this.#task('shutdown', options, (call) => shutdownInstance(this.#context, this.#instance, call));
  }

  pause(options: CallOptions = {}): Promise<ActionResult> {
    return pauseInstance(this.#context, this.#instance, options);
  }

  resume(options: CallOptions = {}): Promise<ActionResult> {
    return resumeInstance(this.#context, this.#instance, options);
  }

  suspend(options: CallOptions = {}): Task<ActionResult> {
    return this.#task('suspend', options, (call) => suspendInstance(this.#context, this.#instance, call));
  }

  discard(options: CallOptions = {}): Promise<ActionResult> {
    return discardInstance(this.#context, this.#instance, options);
  }

  fork(options: ForkOptions & MakingOptions = {}): Task<EngineVm[]> {
    const { idempotencyKey } = options;
    return this.#task(
      'fork',
      options,
      async (inner) => {
        const making = copiesMaking(this.#context, { instance: this.id }, options, (call) =>
          forkInstance(this.#context, this.#instance, { ...options, ...call }),
        );
        const copies = await this.#context.requests.once({ ...inner, idempotencyKey }, making);
        return copies.map((copy) => new EngineVm(this.#context, copy));
      },
      (vms) => vms.map(instanceResource),
    );
  }

  restart(options: CallOptions & { timeoutMs?: number } = {}): Task<ActionResult> {
    return this.#task('restart', options, (call) =>
      restartInstance(this.#context, this.#instance, { ...options, ...call }),
    );
  }

  delete(options: CallOptions & { force?: boolean } = {}): Task<void> {
    return this.#task('delete', options, (call) =>
      deleteInstance(this.#context, this.#instance, { ...options, ...call }),
    );
  }

  rename(name: string, options: AskOptions = {}): Promise<InstanceInfo> {
    return this.update({ name }, options);
  }

  async update(options: UpdateOptions, call: AskOptions = {}): Promise<InstanceInfo> {
    refuseAborted(call);
    await updateInstance(this.#context, this.#instance, options);
    return this.info;
  }

  resizeDisk(size: number | string, options: AskOptions = {}): Promise<InstanceInfo> {
    return this.update({ disk: size }, options);
  }

  exec(argv: readonly string[], options: ExecOptions = {}): Exec {
    return new Exec(argv, options, () => this.openExec(argv, options));
  }

  async openExec(
    argv: readonly string[],
    options: ExecOptions & { execId?: string } = {},
  ): Promise<ResumableExecConnection> {
    const request = { ...options, argv, stdin: options.stdin !== undefined };
    return this.#session('exec', () => startExec(this.#instance, request, options.signal), options.signal);
  }

  async resumeExec(
    execId: string,
    from?: ExecOffsets,
    options: { signal?: AbortSignal } = {},
  ): Promise<ResumableExecConnection> {
    const resume = () => resumeExec(this.#instance, execId, from, options.signal);
    return this.#session(execId === rootSession ? 'attach' : 'exec', resume, options.signal);
  }

  async attach(options: { signal?: AbortSignal; tty?: TerminalSize } = {}): Promise<ExecConnection> {
    return this.#session('attach', () => attach(this.#instance, options), options.signal);
  }

  logs(options: LogOptions = {}): AsyncIterable<LogLine> {
    return readLog(this.#instance, this.#context.events, options);
  }

  async stats(options: AskOptions = {}): Promise<InstanceStats> {
    refuseAborted(options);
    return instanceStats(this.#instance, within(answerMs, options));
  }

  /** A round trip to the agent that does nothing. */
  async ping(signal: AbortSignal = AbortSignal.timeout(answerMs)): Promise<void> {
    await guestOf(this.#instance, 'ping').ping(signal);
  }

  async console({ signal }: { signal?: AbortSignal } = {}): Promise<Duplex> {
    const { machine } = this.#instance;
    if (machine === undefined) throw invalidState(this.#instance, 'open the console of', 'Start it first.');
    const open = () => machine.open('console', signal);
    return usingStream(this.#context, this.#instance, 'console', open);
  }

  async connect(
    port: number,
    { host = '127.0.0.1', signal }: { host?: string; signal?: AbortSignal } = {},
  ): Promise<Duplex> {
    const open = () => guestOf(this.#instance, 'connect to').connect(host, port, signal);
    return usingStream(this.#context, this.#instance, 'tunnel', open, signal);
  }

  forward(guestPort: number, options: ForwardOptions = {}): Promise<Forward> {
    return forwardPort((port, more) => this.connect(port, more), guestPort, options);
  }

  async waitFor(
    states: State | State[],
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<InstanceInfo> {
    await waitForInstance(this.#instance, [states].flat(), options);
    return this.info;
  }

  async waitForHealth(
    status: HealthStatus['status'] = 'healthy',
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<InstanceInfo> {
    await waitForHealth(this.#instance, status, options);
    return this.info;
  }

  /** Ends the VM and removes it: an `await using` VM leaves nothing behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#instance.gone) await this.delete({ force: true });
  }

  #session(
    kind: 'exec' | 'attach',
    open: () => Promise<GuestExecConnection>,
    signal?: AbortSignal,
  ): Promise<GuestExecConnection> {
    return usingSession(this.#context, this.#instance, kind, open, signal);
  }

  #task<T>(
    action: string,
    options: CallOptions,
    work: (call: CallOptions) => Promise<T>,
    result?: (value: T) => EventResource[],
  ): Task<T> {
    const { signal, onProgress } = options;
    const resource = instanceResource(this);
    return this.#context.tasks.task({ action, resource, result }, { signal, onProgress }, work);
  }
}
