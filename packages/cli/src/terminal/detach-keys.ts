/** What a scan of typed bytes found: bytes to pass on, and whether the keys to detach were typed. */
export interface Scanned {
  pass: Uint8Array;
  detached: boolean;
}

/**
 * Watches typed bytes for a sequence of keys. A partial match is held back; when it turns out to be something else, it is
 * passed on with what follows. Bytes behind the sequence are dropped: nobody is listening any more.
 */
export class KeyWatch {
  readonly #keys: readonly number[];
  #matched = 0;

  /** @param keys Byte values: `[0x10, 0x11]` is Ctrl-P Ctrl-Q. */
  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  scan(data: Uint8Array): Scanned {
    const pass: number[] = [];
    for (const byte of data) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched += 1;
        if (this.#matched === this.#keys.length) {
          this.#matched = 0;
          return { pass: Uint8Array.from(pass), detached: true };
        }
        continue;
      }
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}

/** Ctrl-P Ctrl-Q, as in Docker. */
export const detachKeys: readonly number[] = [0x10, 0x11];
/** Ctrl-], as in telnet and virsh. */
export const consoleKeys: readonly number[] = [0x1d];
