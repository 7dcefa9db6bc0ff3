import { Duplex } from 'node:stream';

/**
 * The host's end of a channel whose guest may be frozen, or not up yet: bytes are held, in both directions, while the
 * vCPUs do not run, as the queues of a real port hold them.
 */
export class GatedChannel extends Duplex {
  /** The guest's port; undefined until there is a guest. */
  #port: Duplex | undefined;
  #open: boolean;
  #held: (() => void)[] = [];
  #wanted = false;

  constructor(open: boolean) {
    super();
    this.#open = open;
  }

  /** The guest is there. */
  attach(port: Duplex): void {
    if (this.destroyed) {
      port.destroy();
      return;
    }
    this.#port = port;
    port.on('readable', () => this.#pull());
    port.on('end', () => this.#port === port && this.push(null));
    port.on('close', () => this.#port === port && this.destroy());
    port.on('error', (error) => this.#port === port && this.destroy(error));
    this.#flush();
  }

  /** The guest is off and its VMM is not: the channel stays, and nobody is at its other end. */
  detach(): void {
    this.#port = undefined;
  }

  /** The vCPUs run, or they don't. */
  setOpen(open: boolean): void {
    this.#open = open;
    this.#flush();
  }

  #flush(): void {
    if (!this.#open || this.#port === undefined) return;
    for (const send of this.#held.splice(0)) send();
    this.#pull();
  }

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  #pull(): void {
    while (this.#open && this.#wanted) {
      const chunk: Buffer | null = this.#port?.read() ?? null;
      if (chunk === null) return;
      this.#wanted = this.push(chunk);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send((port) => port.write(chunk, done));
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send((port) => port.end(() => done()));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#port?.destroy();
    this.#held = [];
    done(error);
  }

  #send(send: (port: Duplex) => void): void {
    const port = this.#port;
    if (this.#open && port !== undefined) send(port);
    else this.#held.push(() => this.#port && send(this.#port));
  }
}
