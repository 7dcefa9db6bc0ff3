import { Duplex } from 'node:stream';

/** One end of an in-process port. What is written to it is read at the other; ending or destroying it ends the other. */
class PortEnd extends Duplex {
  #other: PortEnd | undefined;
  #unread: (() => void) | undefined;
  #hungUp = false;

  constructor() {
    super({ allowHalfOpen: false });
  }

  join(other: PortEnd): void {
    this.#other = other;
  }

  override _read(): void {
    this.#other?.taken();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    // Never in the writer's own turn, as with any real port.
    queueMicrotask(() => {
      const other = this.#other;
      if (other === undefined || other.destroyed || other.#hungUp || other.push(chunk)) callback();
      else this.#unread = callback;
    });
  }

  /** The other end has room again. */
  taken(): void {
    const unread = this.#unread;
    this.#unread = undefined;
    unread?.();
  }

  override _final(callback: () => void): void {
    this.#other?.hungUp();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#other?.hungUp();
    this.taken();
    callback(error);
  }

  hungUp(): void {
    this.taken();
    if (this.#hungUp) return;
    this.#hungUp = true;
    // Behind what was written before, which is on its way.
    queueMicrotask(() => {
      if (!this.destroyed) this.push(null);
      // An end that nobody reads closes too.
      if (this.readableFlowing === null) this.resume();
    });
  }
}

/** Two ends of a port, costing nothing but themselves: no descriptor, no timer. */
export function portPair(): [Duplex, Duplex] {
  const [left, right] = [new PortEnd(), new PortEnd()];
  left.join(right);
  right.join(left);
  return [left, right];
}
