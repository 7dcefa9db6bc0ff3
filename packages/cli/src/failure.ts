import { constants } from 'node:os';
import { VivError } from '@vivarium/model';
import type { Context } from './context.ts';
import { printable } from './render/style.ts';

/** A command that has already said what went wrong and only has a status left to give. */
export class ExitStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}

/** As a shell reports a process that died of a signal: 128 + n. */
export function signalStatus(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** The reader of our output has gone away: no failure, and nobody to tell. */
export class OutputGone extends Error {
  constructor(cause: unknown) {
    super('nobody reads the output', { cause });
  }
}

/** Of an error of one of our outputs: true where its reader has gone. Anybody else's broken pipe is a failure. */
export function isBrokenPipe(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

/** Lines keep their breaks (a boot failure shows the console); everything else is made harmless. */
function harmless(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** Says `viv: message` and `hint: …` on stderr and answers the exit status of the error table. */
export function reportFailure(context: Context, thrown: unknown, about?: string): number {
  if (thrown instanceof ExitStatus) return thrown.status;
  if (thrown instanceof OutputGone) return 0;
  const error = VivError.from(thrown);
  // Whoever pressed Ctrl-C knows.
  if (error.code === 'cancelled' && context.signal.aborted) return error.rule.exit;
  const style = context.errorStyle;
  const subject = about === undefined ? '' : `${about}: `;
  context.note(`${style('red', 'viv:')} ${subject}${harmless(error.message)}`);
  if (error.hint !== undefined) context.note(`${style('cyan', 'hint:')} ${harmless(error.hint)}`);
  const log = error.details?.log;
  if (typeof log === 'string' && log !== '') context.note(harmless(log).replace(/^/gm, '  '));
  if (error.code === 'internal' && context.env.VIV_DEBUG) {
    context.note(thrown instanceof Error ? (thrown.stack ?? '') : String(thrown));
  }
  return error.rule.exit;
}
