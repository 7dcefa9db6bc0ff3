import { type ExecOptions, type ResumableExecConnection, VivError, type Vm } from '@vivarium/model';
import { ExecSession, type SessionPeer } from './session.ts';

/** How long a command goes on after its client has been lost, and how long its end is kept for it. Milliseconds. */
export const graceMs = 60_000;

interface Entry {
  session: ExecSession;
  timer?: NodeJS.Timeout;
}

/** The exec sessions of all instances that a client may come back to. */
export class Sessions {
  readonly #entries = new Map<string, Promise<Entry>>();
  readonly #graceMs: number;

  constructor(grace: number = graceMs) {
    this.#graceMs = grace;
  }

  /** Starts a command, or joins the one that an earlier try with the same id has started. */
  async start(
    vm: Vm,
    argv: readonly string[],
    options: ExecOptions & { execId: string },
  ): Promise<ExecSession> {
    return (
      await this.#entry(vm, options.execId, async () => {
        if (vm.openExec === undefined)
          throw new VivError('not_supported', 'This engine has no exec sessions');
        return vm.openExec(argv, options);
      })
    ).session;
  }

  /** The session as it is here; or, after a restart of the daemon, as the guest has kept it. */
  async resume(
    vm: Vm,
    execId: string,
    from: { stdout: number; stderr: number } | undefined,
  ): Promise<ExecSession> {
    return (
      await this.#entry(vm, execId, () => {
        if (vm.resumeExec === undefined)
          throw new VivError('not_supported', 'This engine has no exec sessions');
        return vm.resumeExec(execId, from && { stdout: BigInt(from.stdout), stderr: BigInt(from.stderr) });
      })
    ).session;
  }

  async #entry(vm: Vm, execId: string, open: () => Promise<ResumableExecConnection>): Promise<Entry> {
    const key = `${vm.id}/${execId}`;
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const opening: Promise<Entry> = open().then((connection) => ({ session: new ExecSession(connection) }));
    this.#entries.set(key, opening);
    try {
      const entry = await opening;
      void entry.session.ended.then(() => {
        if (entry.session.lost && this.#entries.get(key) === opening) this.#entries.delete(key);
      });
      return entry;
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  /** Somebody has the session (again): its time no longer runs out. */
  async kept(vm: Vm, session: ExecSession): Promise<void> {
    const entry = await this.#entries.get(`${vm.id}/${session.connection.execId}`);
    if (entry?.session === session) clearTimeout(entry.timer);
  }

  /** The client is gone: the command has some time left, in case it comes back. */
  async lost(vm: Vm, session: ExecSession, peer: SessionPeer): Promise<void> {
    const entry = await this.#entries.get(`${vm.id}/${session.connection.execId}`);
    if (entry?.session !== session || !session.detach(peer)) return;
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => void this.close(vm, session), this.#graceMs);
    entry.timer.unref();
  }

  /** Kills what still runs, and forgets the session. */
  async close(vm: Vm, session: ExecSession): Promise<void> {
    const key = `${vm.id}/${session.connection.execId}`;
    const entry = await this.#entries.get(key);
    if (entry?.session !== session) return;
    clearTimeout(entry.timer);
    this.#entries.delete(key);
    // The guest may be gone by now, and the session with it.
    await session.connection.close().catch(() => undefined);
  }

  /** The daemon goes, the commands stay. */
  async leaveAll(): Promise<void> {
    const entries = await Promise.allSettled(this.#entries.values());
    this.#entries.clear();
    for (const entry of entries) {
      if (entry.status === 'rejected') continue;
      clearTimeout(entry.value.timer);
      entry.value.session.leave();
    }
  }

  get size(): number {
    return this.#entries.size;
  }
}
