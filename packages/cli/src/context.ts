import type { Readable, Writable } from 'node:stream';
import type { Vivarium } from '@vivarium/model';
import { isBrokenPipe, OutputGone } from './failure.ts';
import type { Style } from './render/style.ts';

/** Where a command reads from; a terminal has `setRawMode`. */
export type Input = Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown };

/** Where a command writes to; a terminal has a size. */
export type Output = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** The signals a command may be told. */
export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT' | 'SIGWINCH';

/** How a command meets the outside; tests give their own. */
export interface Context extends AsyncDisposable {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted by SIGINT, SIGTERM or SIGHUP, unless a command handles signals itself. */
  readonly signal: AbortSignal;
  /** Colours for stdout. */
  readonly style: Style;
  /** Colours for stderr. */
  readonly errorStyle: Style;
  /** Connects on first use, starting vivd (with these arguments) where it isn't there; always the same one afterwards. */
  vivarium(daemonArguments?: readonly string[]): Promise<Vivarium>;
  /** Connects only where vivd already runs. */
  running(): Promise<Vivarium | undefined>;
  /** Until disposed, these signals come here and nowhere else. */
  onSignals(names: readonly SignalName[], handler: (name: SignalName) => void): Disposable;
  /** Writes to stdout; resolves when the reader has room again. */
  print(text: string | Uint8Array): Promise<void>;
  /** Pretty on a terminal, one line elsewhere asks for `line`. */
  printJson(value: unknown, form?: 'pretty' | 'line'): Promise<void>;
  /** A line on stderr. */
  note(line: string): void;
}

/** Width to cut tables at; undefined where nobody looks. */
export function widthOf(output: Output): number | undefined {
  return output.isTTY ? (output.columns ?? 80) : undefined;
}

/** Writes and waits for room. Rejects with the stream's own error, or OutputGone where the reader is gone. */
export function write(output: Writable, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(data, (error) => {
      if (error) reject(isBrokenPipe(error) ? new OutputGone(error) : error);
      else resolve();
    });
  });
}
