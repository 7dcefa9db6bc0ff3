import { ProtocolError } from './protocol-error.ts';

/** Bytes that may be sent on a (stream, channel) before the first CREDIT. */
export const initialWindowBytes = 262_144;
/** A receiver grants in steps of at least a quarter of its window: so many bytes, unless it was widened. */
export const grantStepBytes = initialWindowBytes / 4;

/** What we may still send on one channel. */
export class SendWindow {
  #available = initialWindowBytes;
  #sent = 0;
  #granted = 0;

  get available(): number {
    return this.#available;
  }

  /** Bytes sent so far. */
  get sentBytes(): number {
    return this.#sent;
  }

  /** Bytes the other side has told us it consumed; it tells in steps, so this lags behind. */
  get acknowledgedBytes(): number {
    return Math.min(this.#sent, this.#granted);
  }

  /** Takes up to `wanted` bytes of credit and answers how many. */
  take(wanted: number): number {
    const taken = Math.min(wanted, this.#available);
    this.#available -= taken;
    this.#sent += taken;
    return taken;
  }

  grant(bytes: number): void {
    this.#granted += bytes;
    // A window beyond 2^32 means nothing more; the cap keeps the sum exact whatever is granted.
    this.#available = Math.min(this.#available + bytes, 0xffffffff);
  }
}

/** What the other side may still send on one channel. */
export class ReceiveWindow {
  #available = initialWindowBytes;
  #consumed = 0;
  #stepBytes = grantStepBytes;

  /** Bytes that may still come. */
  get available(): number {
    return this.#available;
  }

  /**
   * Lets so many bytes more be under way; whoever calls this sends the credit. The steps grow with it: each interrupts the
   * sender.
   */
  widen(bytes: number): void {
    this.#available += bytes;
    this.#stepBytes += bytes / 4;
  }

  /** Accounts for bytes that came. @throws ProtocolError `window_overrun`. */
  receive(bytes: number): void {
    if (bytes > this.#available) {
      throw new ProtocolError('window_overrun', `${bytes} bytes came where ${this.#available} were granted`);
    }
    this.#available -= bytes;
  }

  /** Accounts for bytes the reader took. Answers the credit to send now; 0: not yet worth a frame. */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed < this.#stepBytes) return 0;
    const grant = this.#consumed;
    this.#consumed = 0;
    this.#available += grant;
    return grant;
  }
}
