import type { Duplex } from 'node:stream';
import type { FileStat, InstanceStats } from '@vivarium/model';
import type { EventMessage, Fields, Welcome } from '@vivarium/protocol';
import {
  readSessionOutput,
  readSessions,
  readStages,
  readStat,
  readStats,
  readVolumes,
  readWorkloadExit,
  readWorkloadStatus,
} from './answers.ts';
import type { BulkChannel } from './bulk-channel.ts';
import { readCopy } from './bulk-read.ts';
import { type CopyInResult, writeCopy } from './bulk-write.ts';
import type { GuestChannel } from './channel.ts';
import { ExecSession } from './exec-session.ts';
import { GuestFileCalls } from './file-calls.ts';
import type {
  Guest,
  GuestAtRest,
  GuestConfig,
  GuestExecConnection,
  GuestExecSpec,
  GuestSession,
  GuestVolume,
  RestoredIdentity,
  ResumePoint,
  WorkloadExit,
  WorkloadSpec,
} from './guest.ts';
import { printable } from './guest-errors.ts';
import { openTunnel } from './tunnel.ts';

const nothing = (_: Fields): void => undefined;

/** Milliseconds a guest that could not be frozen has to let go again. */
const thawMs = 3000;

/** The workload exits of one guest, told to whoever listens. */
export class WorkloadExits {
  readonly #listeners = new Set<(exit: WorkloadExit) => void>();

  listen(listener: (exit: WorkloadExit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An event of stream 0. Those of other names are not for us. */
  take(event: EventMessage): void {
    if (event.name !== 'workload.exit') return;
    const exit = readWorkloadExit(event.fields.text('id'), event.fields);
    for (const listener of this.#listeners) listener(exit);
  }
}

/** The agent of one guest, over its control channel and, for copies and tunnels, its bulk channel. */
export class AgentGuest implements Guest {
  readonly agentVersion: string;
  readonly #control: GuestChannel;
  readonly #bulk: BulkChannel;
  readonly #exits: WorkloadExits;

  constructor(welcome: Welcome, control: GuestChannel, bulk: BulkChannel, exits: WorkloadExits) {
    this.agentVersion = printable(welcome.agent, 64);
    this.#control = control;
    this.#bulk = bulk;
    this.#exits = exits;
  }

  get closed(): Promise<void> {
    return this.#control.closed;
  }

  ping(signal?: AbortSignal): Promise<void> {
    return this.#control.call('ping', {}, nothing, signal);
  }

  configure(
    config: GuestConfig,
    signal?: AbortSignal,
  ): Promise<{ stages: { name: string; milliseconds: number }[] }> {
    return this.#control.call('configure', config, readStages, signal);
  }

  identity(identity: RestoredIdentity, signal?: AbortSignal): Promise<void> {
    const { hostname, machineId, generation, entropy, clockNanos, network, copy, resetConnections } =
      identity;
    const who = { hostname, machineId, generation, entropy, clockNanos, network };
    return this.#control.call('identity', { ...who, copy, resetConnections }, nothing, signal);
  }

  setClock(nanos: bigint, signal?: AbortSignal): Promise<void> {
    return this.#control.call('clock', { clockNanos: nanos }, nothing, signal);
  }

  warm(files: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.#control.call('warm', { files }, nothing, signal);
  }

  startWorkload(spec: WorkloadSpec, signal?: AbortSignal): Promise<{ pid: number }> {
    // A workload without a process has no pid either.
    const read = (result: Fields) => ({ pid: result.optionalUint('pid') ?? 0 });
    return this.#control.call('workload.start', spec, read, signal);
  }

  workloadExit(id: string, signal?: AbortSignal): Promise<WorkloadExit | undefined> {
    return this.#control.call('workload.status', { id }, (result) => readWorkloadStatus(id, result), signal);
  }

  onWorkloadExit(listener: (exit: WorkloadExit) => void): () => void {
    return this.#exits.listen(listener);
  }

  signalWorkload(id: string, signalName: string): Promise<void> {
    return this.#control.call('workload.signal', { id, signal: signalName }, nothing);
  }

  async standStill({ freeze }: { freeze: boolean }, signal?: AbortSignal): Promise<GuestAtRest> {
    const openBulk = await this.#bulk.hold(signal);
    const control = this.#control.hold();
    let frozen = false;
    const goOn = async (options: { clockNanos?: bigint; signal?: AbortSignal } = {}) => {
      const { clockNanos } = options;
      control.listen();
      try {
        if (clockNanos !== undefined) await control.ask('clock', { clockNanos }, options.signal);
        if (frozen) await control.ask('thaw', {}, options.signal);
      } finally {
        control.release();
        openBulk();
      }
    };
    try {
      if (freeze) {
        // Before the answer: one that is late freezes all the same.
        frozen = true;
        await control.ask('freeze', {}, signal);
      }
      await control.ask('ping', {}, signal);
      control.silence();
    } catch (error) {
      await goOn({ signal: AbortSignal.timeout(thawMs) }).catch(() => undefined); // the reason it failed says more
      throw error;
    }
    let going: Promise<void> | undefined;
    return {
      goOn: (options) => {
        going ??= goOn(options);
        return going;
      },
    };
  }

  freeze(signal?: AbortSignal): Promise<void> {
    return this.#control.call('freeze', {}, nothing, signal);
  }

  thaw(signal?: AbortSignal, generation?: number): Promise<void> {
    return this.#control.call('thaw', { generation }, nothing, signal);
  }

  exec(spec: GuestExecSpec, signal?: AbortSignal): Promise<GuestExecConnection> {
    return ExecSession.open(
      this.#control,
      { execId: spec.execId, method: 'exec.start', params: spec },
      signal,
    );
  }

  resumeExec(execId: string, from?: ResumePoint, signal?: AbortSignal): Promise<GuestExecConnection> {
    const params = { execId, stdout: from?.stdout, stderr: from?.stderr };
    return ExecSession.open(this.#control, { execId, method: 'exec.attach', params, from }, signal);
  }

  async sessions(signal?: AbortSignal): Promise<GuestSession[]> {
    const all: GuestSession[] = [];
    for (let after: number | undefined; ; ) {
      const page = await this.#control.call('exec.list', { after }, readSessions, signal);
      all.push(...page.sessions);
      if (page.next === undefined) return all;
      if (page.sessions.length === 0 || page.next <= (after ?? -1)) return all;
      after = page.next;
    }
  }

  readSession(
    execId: string,
    stream: 'stdout' | 'stderr',
    from: number,
    signal?: AbortSignal,
  ): Promise<{ from: number; data: Uint8Array; over: boolean }> {
    return this.#control.call('exec.read', { execId, stream, from }, readSessionOutput, signal);
  }

  awaitSession(
    execId: string,
    { stdout, stderr }: { stdout: number; stderr: number },
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#control.call('exec.wait', { execId, stdout, stderr }, nothing, signal);
  }

  signalSession(execId: string, signalName: string, signal?: AbortSignal): Promise<void> {
    return this.#control.call('exec.signal', { execId, signal: signalName }, nothing, signal);
  }

  closeSession(execId: string, signal?: AbortSignal): Promise<void> {
    return this.#control.call('exec.close', { execId }, nothing, signal);
  }

  files(target: string): GuestFileCalls {
    return new GuestFileCalls(this.#control, target);
  }

  async copyIn(
    target: string,
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<CopyInResult> {
    const bulk = await this.#bulk.get(signal);
    return await writeCopy(bulk, { target, path: guestDir }, tar, signal);
  }

  async *copyOut(
    target: string,
    guestPath: string,
    options: { followLinks?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array> {
    const bulk = await this.#bulk.get(options.signal);
    const params = { target, path: guestPath, follow: options.followLinks ?? false };
    yield* readCopy(bulk, params, options.signal);
  }

  stat(target: string, guestPath: string, followLinks: boolean, signal?: AbortSignal): Promise<FileStat> {
    return this.#control.call('stat', { target, path: guestPath, follow: followLinks }, readStat, signal);
  }

  stats(signal?: AbortSignal): Promise<Omit<InstanceStats, 'at' | 'vmm'>> {
    return this.#control.call('stats', {}, readStats, signal);
  }

  async connect(host: string, port: number, signal?: AbortSignal): Promise<Duplex> {
    const bulk = await this.#bulk.get(signal);
    return await openTunnel(bulk, { host, port }, signal);
  }

  growRoot(signal?: AbortSignal): Promise<void> {
    return this.#control.call('fs.grow', {}, nothing, signal);
  }

  sync(signal?: AbortSignal): Promise<void> {
    return this.#control.call('sync', {}, nothing, signal);
  }

  mountVolume(volume: GuestVolume, signal?: AbortSignal): Promise<void> {
    return this.#control.call('volume.mount', volume, nothing, signal);
  }

  unmountVolume(serial: string, { force }: { force: boolean }, signal?: AbortSignal): Promise<void> {
    return this.#control.call('volume.unmount', { serial, force }, nothing, signal);
  }

  growVolume(serial: string, signal?: AbortSignal): Promise<void> {
    return this.#control.call('volume.grow', { serial }, nothing, signal);
  }

  volumes(signal?: AbortSignal): Promise<Pick<GuestVolume, 'serial' | 'path' | 'mode'>[]> {
    return this.#control.call('volume.list', {}, readVolumes, signal);
  }

  shutdown({ graceMs, signal }: { graceMs: number; signal?: AbortSignal }): Promise<void> {
    return this.#control.call('shutdown', { graceMs }, nothing, signal);
  }

  /** Lets go of the guest: what runs in it goes on. Calls under way fail with `cancelled`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#control.close();
    await this.#control.closed;
  }
}
