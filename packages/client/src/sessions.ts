import type { ExecStart, Session, SessionPiece, StartSession } from '@vivarium/api';
import { ndjson, pieceFromWire, sessionFromWire } from '@vivarium/api/wire';
import {
  type AskOptions,
  type ExecConnection,
  isVivError,
  type SessionInfo,
  type SessionOutput,
  type VmSessions,
} from '@vivarium/model';
import { readLines } from './lines.ts';
import type { Send, Transport } from './transport.ts';
import { items } from './vm.ts';

/** The commands of one VM, through the daemon. */
export class RemoteSessions implements VmSessions {
  readonly #transport: Transport;
  readonly #id: string;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#id = id;
  }

  async list({ signal, all }: AskOptions & { all?: boolean } = {}): Promise<SessionInfo[]> {
    const send = { ...this.#send(), query: { all }, signal };
    const { value } = await this.#transport.json<Session[]>('listSessions', send);
    return value.map(sessionFromWire);
  }

  async get(id: string, { signal }: AskOptions = {}): Promise<SessionInfo> {
    const send = { ...this.#send(id), signal };
    return sessionFromWire((await this.#transport.json<Session>('getSession', send)).value);
  }

  async start(
    argv: readonly string[],
    options: Parameters<VmSessions['start']>[1] = {},
  ): Promise<SessionInfo> {
    const { env, cwd, user, tty, target, stdin, signal } = options;
    const json: StartSession = { command: [...argv], env, cwd, user, tty, target, stdin };
    const { value } = await this.#transport.json<Session>('startSession', { ...this.#send(), json, signal });
    return sessionFromWire(value);
  }

  async attach(id: string, options: Parameters<VmSessions['attach']>[1] = {}): Promise<ExecConnection> {
    const { from, signal } = options;
    const session = await this.#unlessAsleep(id, signal);
    const resume = from && {
      stdout: Number(from.stdout ?? session?.stdout.from ?? 0),
      stderr: Number(from.stderr ?? session?.stderr.from ?? 0),
    };
    const { ExecLink } = await import('./exec-link.ts');
    const start: ExecStart = {};
    return ExecLink.open({
      transport: this.#transport,
      id: this.#id,
      route: 'attachSession',
      session: session?.id ?? id,
      from: resume,
      start,
      signal,
    });
  }

  /** Nobody can look into a VM that sleeps; whoever joins wakes it, where that may be, by the whole id. */
  async #unlessAsleep(id: string, signal: AbortSignal | undefined): Promise<SessionInfo | undefined> {
    try {
      return await this.get(id, { signal });
    } catch (error) {
      if (!isVivError(error, 'invalid_state')) throw error;
      return undefined;
    }
  }

  async *output(
    id: string,
    options: Parameters<VmSessions['output']>[1] = {},
  ): AsyncGenerator<SessionOutput> {
    const { from, follow, signal } = options;
    const query = { stdout: from?.stdout, stderr: from?.stderr, follow };
    const send = { ...this.#send(id), query, accept: ndjson, signal };
    const answer = await this.#transport.send('sessionOutput', send);
    for await (const piece of items<SessionPiece>(readLines(answer, this.#transport.address, signal), signal))
      yield pieceFromWire(piece);
  }

  async signal(id: string, name: string, { signal }: AskOptions = {}): Promise<void> {
    const json = { signal: name };
    await this.#transport.json('signalSession', { ...this.#send(id), json, signal });
  }

  async kill(id: string, { signal }: AskOptions = {}): Promise<void> {
    await this.#transport.json('closeSession', { ...this.#send(id), signal });
  }

  #send(xid?: string): Send {
    return { params: xid === undefined ? { id: this.#id } : { id: this.#id, xid } };
  }
}
