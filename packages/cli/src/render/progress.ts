import type { CallOptions, Progress, ProgressListener } from '@vivarium/model';
import type { Context } from '../context.ts';
import { LayerBoard, PlainLog, statusOf } from './progress-lines.ts';
import { truncate } from './table.ts';

/** Shows a long action on stderr; disposing takes a live display away again. */
export interface ProgressView extends Disposable {
  readonly onProgress: ProgressListener;
}

/** Redraws no more often than this: a fast download would flood a slow terminal. */
const redrawMs = 80;
const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Live on a terminal, sparse lines elsewhere, nothing where quiet. */
export function progressView(context: Context, options: { quiet?: boolean } = {}): ProgressView {
  if (options.quiet) return { onProgress: () => undefined, [Symbol.dispose]: () => undefined };
  return context.stderr.isTTY && context.env.TERM !== 'dumb' ? liveView(context) : plainView(context);
}

/** Runs an action with its progress where it is the only one: of several at a time the stages would be nobody's. */
export function forOne(
  context: Context,
  names: readonly string[],
  flags: { quiet?: boolean },
): <T>(work: (call: CallOptions) => PromiseLike<T>) => Promise<T> {
  return async (work) => {
    using progress = progressView(context, { quiet: flags.quiet === true || names.length > 1 });
    return await work({ signal: context.signal, onProgress: progress.onProgress });
  };
}

function plainView(context: Context): ProgressView {
  const log = new PlainLog();
  return {
    onProgress(progress) {
      for (const line of log.take(progress)) context.note(line);
    },
    [Symbol.dispose]: () => undefined,
  };
}

function liveView(context: Context): ProgressView {
  const { stderr } = context;
  const board = new LayerBoard();
  let status = '';
  let drawn = 0;
  let frame = 0;
  const erase = (): void => {
    if (drawn > 0) stderr.write(`\x1b[${drawn}A\r\x1b[J`);
    drawn = 0;
  };
  const draw = (): void => {
    const width = (stderr.columns ?? 80) - 1;
    const lines = board.lines(width, Math.max(1, Math.min(20, (stderr.rows ?? 24) - 3)));
    frame = (frame + 1) % spinner.length;
    erase();
    const head = truncate(`${spinner[frame]} ${status}`, width);
    stderr.write(`${[context.errorStyle('cyan', head), ...lines].join('\n')}\n`);
    drawn = lines.length + 1;
  };
  // The first picture waits too: what is over at once never flickers.
  const timer = setInterval(() => {
    if (status !== '') draw();
  }, redrawMs);
  timer.unref();
  return {
    onProgress(progress: Progress) {
      board.take(progress);
      status = statusOf(progress) ?? status;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      erase();
    },
  };
}
