/** The agent keeps at least so many of the last bytes of each output. */
export const keptBytes = 1_048_576;

/** An output by value. */
export interface OutputMemory {
  mode: 'retain' | 'ring';
  chunks: Buffer[];
  base: number;
  end: number;
  acknowledged: number;
  closed: boolean;
}

/** One output of a session: bytes with offsets since its start, of which the oldest are given up. */
export class SessionOutput {
  readonly #mode: 'retain' | 'ring';
  readonly #tap: ((data: Buffer) => void) | undefined;
  readonly #chunks: Buffer[];
  #base = 0;
  #end = 0;
  #acknowledged = 0;
  #closed = false;
  #roomWaiters: (() => void)[] = [];

  /** `tap` sees every byte as it is written. */
  constructor(mode: 'retain' | 'ring', tap?: (data: Buffer) => void, from?: OutputMemory) {
    this.#mode = mode;
    this.#tap = tap;
    this.#chunks = from?.chunks ?? [];
    this.#base = from?.base ?? 0;
    this.#end = from?.end ?? 0;
    this.#acknowledged = from?.acknowledged ?? 0;
    this.#closed = from?.closed ?? false;
  }

  save(): OutputMemory {
    return {
      mode: this.#mode,
      chunks: this.#chunks,
      base: this.#base,
      end: this.#end,
      acknowledged: this.#acknowledged,
      closed: this.#closed,
    };
  }

  /** Offset of the oldest byte held. */
  get base(): number {
    return this.#base;
  }

  /** Offset behind the newest byte. */
  get end(): number {
    return this.#end;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Appends what a process wrote. */
  write(data: Buffer): void {
    if (this.#closed || data.length === 0) return;
    this.#tap?.(data);
    this.#chunks.push(data);
    this.#end += data.length;
    this.#trim();
  }

  /** A promise where a process that has written has to wait for a reader. */
  room(): Promise<void> | undefined {
    if (this.#closed || this.#mode === 'ring' || this.#end - this.#acknowledged < keptBytes) return undefined;
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** A reader has consumed everything before that offset. */
  acknowledge(offset: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, offset);
    this.#trim();
    if (this.#end - this.#acknowledged < keptBytes) this.#wake();
  }

  /** Up to `most` bytes from an offset that is held. */
  slice(offset: number, most: number): Buffer {
    let start = this.#base;
    for (const chunk of this.#chunks) {
      if (offset < start + chunk.length) return chunk.subarray(offset - start, offset - start + most);
      start += chunk.length;
    }
    return Buffer.alloc(0);
  }

  #trim(): void {
    const last = this.#end - keptBytes;
    const keepFrom = this.#mode === 'ring' ? last : Math.min(last, this.#acknowledged);
    for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
      if (this.#base + first.length > keepFrom) return;
      this.#chunks.shift();
      this.#base += first.length;
    }
  }

  #wake(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }
}
