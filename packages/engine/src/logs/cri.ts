import type { LogLine } from '@vivarium/model';

const format = /^(\d{4}-\d\d-\d\dT\S+) (stdout|stderr|exit) ([FP]) ?(.*)$/s;

/**
 * Lines of the log port (docs/protocol.md, "Log port") as log lines; pieces of one line are joined again. What isn't in the
 * format was written by somebody else in the guest, and is shown as it is.
 */
export class CriParser {
  readonly #pieces: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };

  /** At most one line a line; none for the exit record and for pieces. */
  parse(line: string): LogLine | undefined {
    const match = format.exec(line);
    if (match === null) return { stream: 'stdout', text: line };
    const [, at, stream, kind, text = ''] = match;
    if (stream !== 'stdout' && stream !== 'stderr') return undefined;
    const whole = this.#pieces[stream] + text;
    const full = kind === 'F' || whole.length > 1024 * 1024;
    this.#pieces[stream] = full ? '' : whole;
    return full ? { at, stream, text: whole } : undefined;
  }
}
