import {
  type AskOptions,
  type ExecConnection,
  isVivError,
  refuseAborted,
  type SessionInfo,
  type SessionOutput,
  VivError,
  type VmSessions,
  within,
} from '@vivarium/model';
import type { Guest, GuestSession } from './guest/guest.ts';
import type { Context } from './instances/context.ts';
import { guestOf, resumeExec, startExec } from './instances/exec.ts';
import type { Instance } from './instances/instance.ts';
import { purposeOf } from './instances/session-ids.ts';
import { awake, using, usingSession } from './standby/wake.ts';

/** Milliseconds the agent has to answer a small question. */
const answerMs = 10_000;

/** The commands in one VM, as its guest knows them. Needs a running VM. */
export class InstanceSessions implements VmSessions {
  readonly #context: Context;
  readonly #instance: Instance;

  constructor(context: Context, instance: Instance) {
    this.#context = context;
    this.#instance = instance;
  }

  async list({ all = false, ...options }: AskOptions & { all?: boolean } = {}): Promise<SessionInfo[]> {
    refuseAborted(options);
    const sessions = await this.#guest('look into').sessions(within(answerMs, options));
    return sessions.map(infoOf).filter(({ purpose }) => all || purpose !== 'health_check');
  }

  async get(id: string, options: AskOptions = {}): Promise<SessionInfo> {
    const all = await this.list({ ...options, all: true });
    const exact = all.find((session) => session.id === id);
    if (exact !== undefined) return exact;
    const [first, second] = id === '' ? [] : all.filter((session) => session.id.startsWith(id));
    const { name } = this.#instance.record;
    if (first === undefined) throw new VivError('not_found', `${name} has no session ${id}`);
    if (second === undefined) return first;
    throw new VivError('ambiguous', `Several sessions of ${name} have ids that begin with ${id}`);
  }

  async start(
    argv: readonly string[],
    options: Parameters<VmSessions['start']>[1] = {},
  ): Promise<SessionInfo> {
    const { stdin = false, signal, ...rest } = options;
    refuseAborted({ signal });
    return using(
      this.#context,
      this.#instance,
      'exec',
      async () => {
        const connection = await startExec(this.#instance, { ...rest, argv, stdin, ring: true });
        connection.detach();
        return this.get(connection.execId);
      },
      signal,
    );
  }

  async attach(id: string, options: Parameters<VmSessions['attach']>[1] = {}): Promise<ExecConnection> {
    const { from, signal } = options;
    await awake(this.#context, this.#instance, 'exec', signal);
    const session = await this.get(id);
    const point = from && {
      stdout: from.stdout ?? BigInt(session.stdout.from),
      stderr: from.stderr ?? BigInt(session.stderr.from),
    };
    const resume = () => resumeExec(this.#instance, session.id, point, signal);
    const connection = await usingSession(this.#context, this.#instance, 'exec', resume, signal);
    const leave = async () => connection.detach();
    return new Proxy(connection, {
      // Whoever has joined has not started it: to close is to leave.
      get: (target, key) => {
        if (key === 'close') return leave;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  async *output(
    id: string,
    options: Parameters<VmSessions['output']>[1] = {},
  ): AsyncGenerator<SessionOutput> {
    const { from = {}, follow = false, signal } = options;
    const session = await this.get(id);
    const next = { stdout: from.stdout ?? 0, stderr: from.stderr ?? 0 };
    const left = new Set(['stdout', 'stderr'] as const);
    while (left.size > 0 && !signal?.aborted) {
      let moved = false;
      for (const stream of [...left]) {
        const guest = this.#guest('read from');
        const piece = await guest.readSession(session.id, stream, next[stream], within(answerMs));
        if (piece.data.byteLength > 0) {
          moved = true;
          next[stream] = piece.from + piece.data.byteLength;
          yield { stream, data: piece.data, offset: piece.from };
        } else if (!follow || piece.over) left.delete(stream);
        if (signal?.aborted) return;
      }
      if (!moved && left.size > 0) await this.#more(session.id, next, signal);
    }
  }

  /** Where the way to the guest is lost meanwhile, or its host gives up, the next look says what has become of it. */
  async #more(
    id: string,
    beyond: { stdout: number; stderr: number },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      await this.#guest('read from').awaitSession(id, beyond, signal);
    } catch (error) {
      if (!isVivError(error, 'agent_unreachable', 'cancelled')) throw error;
    }
  }

  async signal(id: string, name: string, options: AskOptions = {}): Promise<void> {
    const session = await this.get(id, options);
    await this.#guest('signal').signalSession(session.id, name, within(answerMs, options));
  }

  async kill(id: string, options: AskOptions = {}): Promise<void> {
    const session = await this.get(id, options);
    await this.#guest('kill in').closeSession(session.id, within(answerMs, options));
  }

  #guest(action: string): Guest {
    return guestOf(this.#instance, action);
  }
}

function infoOf({ execId, ...session }: GuestSession): SessionInfo {
  const purpose = purposeOf(execId);
  return { id: execId, ...session, ...(purpose === undefined ? {} : { purpose }) };
}
