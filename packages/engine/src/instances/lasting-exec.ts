import { type ExecExit, type ExecOutput, isVivError, type TerminalSize, VivError } from '@vivarium/model';
import type { Guest, GuestExecConnection, ResumePoint } from '../guest/guest.ts';
import type { Instance } from './instance.ts';

/** What a lost way to the guest makes of calls under way. */
const lost = (error: unknown): boolean => isVivError(error, 'agent_unreachable', 'cancelled');

/** From these the guest comes back with its sessions, or has never been away. */
const passing: ReadonlySet<string> = new Set([
  'Running',
  'Initializing',
  'Paused',
  'Suspending',
  'Suspended',
  'Restoring',
  'Unknown',
]);

/**
 * A session that lasts as long as its process: where the way to the guest is lost (it was suspended, or its channel broke), it
 * waits for the guest to be back and goes on at the byte where it was, in both directions.
 */
export class LastingExec implements GuestExecConnection {
  readonly execId: string;
  readonly pid: number;
  readonly exit: Promise<ExecExit>;
  readonly #instance: Instance;
  /** The guest that {@link #current} was opened on. */
  #guest: Guest;
  #current: GuestExecConnection;
  #rejoining: Promise<void> | undefined;
  #left = false;
  /** Stdin that the agent has not taken yet, and how much it had taken before. */
  readonly #pending: Uint8Array[] = [];
  #pendingFrom: bigint;
  #ended = false;
  #writes: Promise<void> = Promise.resolve();

  constructor(instance: Instance, guest: Guest, connection: GuestExecConnection) {
    this.#instance = instance;
    this.#guest = guest;
    this.#current = connection;
    this.#pendingFrom = connection.stdinAccepted;
    this.execId = connection.execId;
    this.pid = connection.pid;
    this.exit = this.#follow();
    this.exit.catch(() => undefined); // whoever wants to know awaits it
  }

  get delivered(): Readonly<ResumePoint> {
    return this.#current.delivered;
  }

  get stdinAccepted(): bigint {
    return this.#current.stdinAccepted;
  }

  get output(): AsyncIterable<ExecOutput> {
    return { [Symbol.asyncIterator]: () => this.#read() };
  }

  async *#read(): AsyncGenerator<ExecOutput> {
    for (;;) {
      const connection = this.#current;
      try {
        yield* connection.output;
        return;
      } catch (error) {
        await this.#rejoin(connection, error);
      }
    }
  }

  async #follow(): Promise<ExecExit> {
    for (;;) {
      const connection = this.#current;
      try {
        return await connection.exit;
      } catch (error) {
        await this.#rejoin(connection, error);
      }
    }
  }

  write(data: Uint8Array): Promise<void> {
    const write = this.#writes.then(async () => {
      this.#forgetTaken();
      // The caller may use its buffer again; what may have to be sent once more is ours.
      this.#pending.push(Uint8Array.from(data));
      const connection = this.#current;
      try {
        await connection.write(data);
      } catch (error) {
        // The rejoining sends all that is pending, this among it.
        await this.#rejoin(connection, error);
      }
    });
    this.#writes = write.catch(() => undefined); // The next writer finds out for itself.
    return write;
  }

  end(): Promise<void> {
    const end = this.#writes.then(async () => {
      this.#ended = true;
      await this.#current.end();
    });
    this.#writes = end.catch(() => undefined);
    return end;
  }

  resize(size: TerminalSize): Promise<void> {
    return this.#current.resize(size);
  }

  signal(name: string): Promise<void> {
    return this.#current.signal(name);
  }

  async close(): Promise<void> {
    this.#left = true;
    await this.#rejoining?.catch(() => undefined);
    await this.#current.close();
  }

  detach(): void {
    this.#left = true;
    this.#current.detach();
  }

  /** Resolves once there is a connection after `before`. @throws `error` where there won't be one. */
  async #rejoin(before: GuestExecConnection, error: unknown): Promise<void> {
    if (this.#current !== before) return;
    if (this.#left || !lost(error)) throw error;
    this.#rejoining ??= this.#join(error).finally(() => {
      this.#rejoining = undefined;
    });
    await this.#rejoining;
  }

  async #join(error: unknown): Promise<void> {
    for (;;) {
      const guest = await this.#nextGuest(error);
      try {
        const connection = await guest.resumeExec(this.execId, { ...this.#current.delivered });
        this.#guest = guest;
        this.#current = connection;
        await this.#sendAgain(connection);
        return;
      } catch (cause) {
        if (!lost(cause)) throw cause;
        this.#guest = guest;
      }
    }
  }

  /** Another agent's voice than the one that was lost. */
  #nextGuest(error: unknown): Promise<Guest> {
    const { promise, resolve, reject } = Promise.withResolvers<Guest>();
    const look = () => {
      const { guest, state } = this.#instance;
      if (this.#left) reject(error);
      else if (state === 'Running' && guest !== undefined && guest !== this.#guest) resolve(guest);
      else if (!passing.has(state)) reject(error);
    };
    const off = this.#instance.onChange(look);
    look();
    return promise.finally(off);
  }

  #forgetTaken(): void {
    let taken = this.#current.stdinAccepted - this.#pendingFrom;
    this.#pendingFrom = this.#current.stdinAccepted;
    while (taken > 0n) {
      const [first] = this.#pending;
      if (first === undefined) return;
      if (BigInt(first.byteLength) > taken) {
        this.#pending[0] = first.subarray(Number(taken));
        return;
      }
      taken -= BigInt(first.byteLength);
      this.#pending.shift();
    }
  }

  /** What the session did not take before the way was lost. */
  async #sendAgain(connection: GuestExecConnection): Promise<void> {
    if (connection.stdinAccepted < this.#pendingFrom)
      throw new VivError('protocol_error', 'The session has lost stdin that it had taken');
    this.#forgetTaken();
    for (const piece of this.#pending) await connection.write(piece);
    if (this.#ended) await connection.end();
  }
}
