import { Channel, maxPayloadBytes, type WireError, type WireStream } from '@vivarium/protocol';
import type { AgentPort } from './agent-port.ts';
import type { ProcessExit, ProcessMemory, SimulatedProcess } from './process.ts';
import type { OutputMemory, SessionOutput } from './session-output.ts';

/** What a command is started with. */
export interface StartSpec {
  execId: string;
  target: string;
  argv: readonly string[];
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  tty?: { rows: number; cols: number };
  stdin: boolean;
  output: 'retain' | 'ring';
}

export interface SessionSpec {
  start: StartSpec;
  /** Its output goes to the log port. */
  logged: boolean;
  /** Of the guest when it was started. */
  hostname: string;
  stdout: SessionOutput;
  stderr: SessionOutput;
}

/** A session by value. */
export interface SessionMemory {
  start: StartSpec;
  hostname: string;
  /** Its output goes to the log port. */
  logged: boolean;
  size: { rows: number; cols: number } | undefined;
  stdinReceived: number;
  stdinRead: number;
  /** Begun by the machine of which this is a copy. */
  orphaned?: boolean;
  stdout: OutputMemory;
  stderr: OutputMemory;
  process: ProcessMemory | undefined;
}

interface Attachment {
  readonly port: AgentPort;
  readonly stream: WireStream;
  /** Offset at which each output began on this stream, plus the gaps in it. */
  readonly from: Record<1 | 2, number>;
  /** Offset of the next byte to send. */
  readonly next: Record<1 | 2, number>;
  readonly ended: Record<1 | 2, boolean>;
  /** Stdin bytes that an earlier stream brought and nobody has read: no credit is due for them here. */
  foreignStdin: number;
}

/** An exec session: a process and its outputs by offset, and the one stream it is attached to at a time. */
export class SimulatedSession {
  readonly spec: SessionSpec;
  process: SimulatedProcess | undefined;
  size: { rows: number; cols: number } | undefined;
  orphaned: boolean;
  #attachment: Attachment | undefined;
  #stdinReceived: number;
  #stdinRead: number;
  /** Looks whether there is what somebody waits for. */
  readonly #awaited = new Set<() => void>();

  constructor(spec: SessionSpec, from: Partial<SessionMemory> = {}) {
    this.spec = spec;
    this.size = from.size;
    this.orphaned = from.orphaned ?? false;
    this.#stdinReceived = from.stdinReceived ?? 0;
    this.#stdinRead = from.stdinRead ?? 0;
  }

  /** The stream it is attached to is not part of it: whoever finds it again attaches anew. */
  save(): SessionMemory {
    const { start, logged, hostname } = this.spec;
    return {
      ...{ start, logged, hostname },
      size: this.size,
      orphaned: this.orphaned,
      stdinReceived: this.#stdinReceived,
      stdinRead: this.#stdinRead,
      stdout: this.spec.stdout.save(),
      stderr: this.spec.stderr.save(),
      process: this.process?.save(),
    };
  }

  get exit(): ProcessExit | undefined {
    return this.process?.exit;
  }

  /** The offsets at which each stream goes on; undefined where one is not held. Nothing is sent before {@link pump}. */
  attach(port: AgentPort, stream: WireStream, offsets: { stdout?: number; stderr?: number }) {
    const outputs = this.#outputs();
    const from = { 1: offsets.stdout ?? outputs[1].base, 2: offsets.stderr ?? outputs[2].base };
    for (const channel of [1, 2] as const) {
      const { base, end } = outputs[channel];
      if (from[channel] < base || from[channel] > end) return undefined;
    }
    this.#attachment?.stream.reset(conflict('another connection took the session over'));
    const foreignStdin = this.#stdinReceived - this.#stdinRead;
    const ended = { 1: false, 2: false };
    this.#attachment = { port, stream, from, next: { ...from }, ended, foreignStdin };
    Object.assign(stream.handler, {
      data: (channel: number, payload: Buffer) => this.#onStdin(channel, payload),
      end: (channel: number) => channel === Channel.stdin && this.process?.endStdin(),
      credit: (channel: number) => this.#onCredit(channel),
      reset: () => this.#detach(stream),
      lost: () => this.#detach(stream),
    });
    return { stdin: this.#stdinReceived, stdout: from[1], stderr: from[2], running: this.exit === undefined };
  }

  /** The process read so many bytes of stdin. */
  stdinRead(bytes: number): void {
    this.#stdinRead += bytes;
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    const foreign = Math.min(bytes, attachment.foreignStdin);
    attachment.foreignStdin -= foreign;
    if (bytes > foreign) attachment.stream.consumed(Channel.stdin, bytes - foreign);
  }

  /** Resolves once more than that has been printed, or nothing more will be. */
  beyond(from: { stdout: number; stderr: number }): { promise: Promise<void>; leave: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      const { stdout, stderr } = this.spec;
      if (stdout.end <= from.stdout && stderr.end <= from.stderr && this.exit === undefined) return;
      this.#awaited.delete(look);
      resolve();
    };
    this.#awaited.add(look);
    look();
    return { promise, leave: () => this.#awaited.delete(look) };
  }

  /** Sends what may be sent, and the ends that are due. */
  pump(): void {
    for (const look of [...this.#awaited]) look();
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    const outputs = this.#outputs();
    for (const channel of [1, 2] as const) {
      const gap = outputs[channel].base - attachment.next[channel];
      if (gap > 0) {
        attachment.port.event(attachment.stream.id, 'gap', { channel, bytes: gap });
        attachment.next[channel] += gap;
        attachment.from[channel] += gap;
      }
      this.#pumpOne(attachment, channel, outputs[channel]);
    }
    // A reset by a fault may have detached it in the middle.
    if (this.#attachment !== attachment || !attachment.ended[1] || !attachment.ended[2]) return;
    const { exit } = this;
    if (exit === undefined) return;
    attachment.port.event(attachment.stream.id, 'exit', exit);
    this.#attachment = undefined;
    attachment.stream.release();
  }

  /** Ends the attached stream, as when the session is closed. */
  drop(): void {
    const attachment = this.#attachment;
    this.#attachment = undefined;
    attachment?.stream.reset({ code: 'cancelled', message: 'the session was closed' });
  }

  #pumpOne(attachment: Attachment, channel: 1 | 2, output: SessionOutput): void {
    const { stream, next, ended } = attachment;
    while (next[channel] < output.end && stream.open) {
      const most = Math.min(stream.sendable(channel), maxPayloadBytes);
      if (most === 0) return;
      const data = output.slice(next[channel], most);
      next[channel] += data.length;
      stream.send(channel, data);
    }
    const over = output.closed || (channel === Channel.stderr && this.spec.start.tty !== undefined);
    if (!over || ended[channel] || next[channel] < output.end) return;
    ended[channel] = true;
    stream.end(channel);
  }

  #outputs(): Record<1 | 2, SessionOutput> {
    return { 1: this.spec.stdout, 2: this.spec.stderr };
  }

  #onStdin(channel: number, payload: Buffer): void {
    if (channel !== Channel.stdin) return;
    this.#stdinReceived += payload.length;
    if (this.process === undefined) this.stdinRead(payload.length);
    else this.process.feed(Buffer.from(payload));
  }

  #onCredit(channel: number): void {
    const attachment = this.#attachment;
    if (attachment === undefined || (channel !== 1 && channel !== 2)) return;
    this.#outputs()[channel].acknowledge(attachment.from[channel] + attachment.stream.acknowledged(channel));
    this.pump();
  }

  #detach(stream: WireStream): void {
    if (this.#attachment?.stream === stream) this.#attachment = undefined;
  }
}

const conflict = (message: string): WireError => ({ code: 'conflict', message });
