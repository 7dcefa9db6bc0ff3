import type { SimulatedClock } from './clock.ts';

/** Bytes after which a line of the log port is cut. */
const maxLineBytes = 16_384;

/** What was printed since the last end of a line. */
export type LogRest = Record<'stdout' | 'stderr', string>;

/** Writes the output of workloads in the line format of the log port (docs/protocol.md). */
export class GuestLog {
  readonly #clock: SimulatedClock;
  readonly #write: (lines: string) => void;
  readonly #rest: LogRest;

  constructor(clock: SimulatedClock, write: (lines: string) => void, rest?: LogRest) {
    this.#clock = clock;
    this.#write = write;
    this.#rest = rest ?? { stdout: '', stderr: '' };
  }

  save(): LogRest {
    return this.#rest;
  }

  output(stream: 'stdout' | 'stderr', data: Buffer): void {
    const lines = (this.#rest[stream] + data.toString()).split('\n');
    let rest = lines.pop() ?? '';
    let text = lines.map((line) => this.#line(stream, 'F', line)).join('');
    while (rest.length >= maxLineBytes) {
      text += this.#line(stream, 'P', rest.slice(0, maxLineBytes));
      rest = rest.slice(maxLineBytes);
    }
    this.#rest[stream] = rest;
    if (text !== '') this.#write(text);
  }

  exit(exit: { id: string; code: number; signal?: string; oom: boolean }): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#rest[stream] !== '') this.#write(this.#line(stream, 'P', this.#rest[stream]));
      this.#rest[stream] = '';
    }
    this.#write(this.#line('exit', 'F', JSON.stringify(exit)));
  }

  #line(stream: string, tag: 'F' | 'P', text: string): string {
    const at = new Date(this.#clock.now()).toISOString().replace('Z', '000000Z');
    return `${at} ${stream} ${tag} ${text}\n`;
  }
}
