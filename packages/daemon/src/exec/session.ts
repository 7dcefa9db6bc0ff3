import type { ExecNotice } from '@vivarium/api';
import { type ExecExit, type ExecOutput, type ResumableExecConnection, VivError } from '@vivarium/model';

/** What a session says to whoever is attached; `send` resolves when there is room for more. */
export interface SessionPeer {
  output(piece: ExecOutput): Promise<void>;
  notice(notice: ExecNotice): void;
  /** The session goes on elsewhere, or is over. */
  end(): void;
}

interface Held extends ExecOutput {
  /** Bytes of the stream before this piece. */
  start: number;
}

/**
 * Bytes sent but not acknowledged that a session keeps. Below the mebibyte that the agent keeps itself, so that a client
 * that lost the daemon can always go on from there.
 */
const maxHeldBytes = 512 * 1024;

/** One command whose outputs survive a lost client: what it has not acknowledged is held and sent again. */
export class ExecSession {
  readonly connection: ResumableExecConnection;
  /** Bytes of stdin taken from clients. */
  stdinTaken: number;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  readonly #sent: Record<'stdout' | 'stderr', number>;
  #peer: SessionPeer | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #outcome: ExecNotice | undefined;
  #writes: Promise<void> = Promise.resolve();
  /** Settles when the command has ended, or been lost. */
  readonly ended: Promise<void>;

  constructor(connection: ResumableExecConnection) {
    this.connection = connection;
    this.stdinTaken = Number(connection.stdinAccepted);
    const { stdout, stderr } = connection.delivered;
    this.#sent = { stdout: Number(stdout), stderr: Number(stderr) };
    this.ended = this.#pump();
  }

  /** The way to the guest was lost; the command may go on there, and be joined by another session. */
  get lost(): boolean {
    return this.#outcome?.error !== undefined;
  }

  /** Where the outputs go on for whoever attaches now. */
  get offsets(): { stdout: number; stderr: number } {
    const oldest = (stream: 'stdout' | 'stderr') =>
      this.#held.find((piece) => piece.stream === stream)?.start ?? this.#sent[stream];
    return { stdout: oldest('stdout'), stderr: oldest('stderr') };
  }

  /**
   * Sends what follows the offsets, then goes on as it comes. Takes the session over from whoever had it.
   *
   * @throws VivError `conflict` where those bytes have been acknowledged and given up.
   */
  attach(peer: SessionPeer, from: { stdout: number; stderr: number } | undefined): void {
    if (from !== undefined) {
      const oldest = this.offsets;
      for (const stream of ['stdout', 'stderr'] as const) {
        if (from[stream] >= oldest[stream] && from[stream] <= this.#sent[stream]) continue;
        throw new VivError(
          'conflict',
          `${stream} is held from byte ${oldest[stream]} to ${this.#sent[stream]}, not from ${from[stream]}`,
        );
      }
      this.acknowledge(from);
    }
    this.#peer?.end();
    this.#peer = peer;
  }

  /** To be called once the peer has been told where it goes on. */
  replay(peer: SessionPeer): void {
    for (const piece of this.#held) void peer.output(piece);
    if (this.#outcome !== undefined) this.#tell(peer, this.#outcome);
  }

  detach(peer: SessionPeer): boolean {
    if (this.#peer !== peer) return false;
    this.#peer = undefined;
    return true;
  }

  /** The client has everything before these offsets. */
  acknowledge(offsets: { stdout: number; stderr: number }): void {
    for (let i = 0; i < this.#held.length; ) {
      const piece = this.#held[i] as Held;
      const done = Math.min(offsets[piece.stream] - piece.start, piece.data.byteLength);
      if (done > 0) {
        piece.start += done;
        piece.data = piece.data.subarray(done);
        this.#heldBytes -= done;
      }
      if (piece.data.byteLength === 0) this.#held.splice(i, 1);
      else i++;
    }
    if (this.#heldBytes < maxHeldBytes) {
      this.#room?.resolve();
      this.#room = undefined;
    }
  }

  /** Stdin, in order. Resolves when the guest has room for more. */
  write(data: Uint8Array): Promise<void> {
    this.stdinTaken += data.byteLength;
    const write = this.#writes.then(() => this.connection.write(data));
    // A command that does not read its stdin has failed nobody.
    this.#writes = write.catch(() => undefined);
    return this.#writes;
  }

  end(): Promise<void> {
    this.#writes = this.#writes.then(() => this.connection.end()).catch(() => undefined);
    return this.#writes;
  }

  /** Leaves the command alone; the client is told to come back. */
  leave(): void {
    this.#peer?.end();
    this.#peer = undefined;
    this.connection.detach();
  }

  async #pump(): Promise<void> {
    try {
      for await (const { stream, data } of this.connection.output) {
        this.#held.push({ stream, data, start: this.#sent[stream] });
        this.#sent[stream] += data.byteLength;
        this.#heldBytes += data.byteLength;
        await this.#peer?.output({ stream, data });
        if (this.#heldBytes >= maxHeldBytes) {
          this.#room ??= Promise.withResolvers();
          await this.#room.promise;
        }
      }
      this.#outcome = exitNotice(await this.connection.exit);
    } catch (thrown) {
      this.#outcome = { error: VivError.from(thrown).toJSON() };
    }
    if (this.#peer !== undefined) this.#tell(this.#peer, this.#outcome);
  }

  /** A client whose way to the guest is gone is sent away: it comes back, and so learns what has become of the VM. */
  #tell(peer: SessionPeer, outcome: ExecNotice): void {
    const wayIsGone = ['agent_unreachable', 'cancelled'].includes(outcome.error?.code ?? '');
    if (!wayIsGone) peer.notice(outcome);
    if (outcome.error !== undefined) peer.end();
  }
}

export function exitNotice(exit: ExecExit): ExecNotice {
  return {
    exitCode: exit.code,
    ...(exit.signal === undefined ? {} : { signal: exit.signal }),
    ...(exit.timedOut === undefined ? {} : { timed_out: exit.timedOut }),
  };
}
