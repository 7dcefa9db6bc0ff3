import { type ExecConnection, type ExecExit, VivError } from '@vivarium/model';
import { type Context, type SignalName, write } from '../context.ts';
import { OutputGone } from '../failure.ts';
import { detachKeys, KeyWatch } from './detach-keys.ts';
import { rawMode, terminalSize } from './raw.ts';

/** What a foreground command needs of the one it shows; an attached entrypoint and an exec both have it. */
export type Driven = Pick<ExecConnection, 'output' | 'exit' | 'write' | 'end' | 'resize' | 'signal'>;

export interface DriveOptions {
  /** Our stdin goes to the command. */
  readonly interactive: boolean;
  /** Keys go to the guest as they are typed. */
  readonly tty: boolean;
  /** Ctrl-P Ctrl-Q leaves a terminal's command running. Default false: every key is the command's. */
  readonly detachable?: boolean;
  /** Ends the command without asking: the second signal, or when nobody reads our output any more. */
  readonly force: () => Promise<unknown>;
}

/** How a foreground command ended for us. */
export type DriveEnd =
  | { kind: 'exit'; exit: ExecExit }
  | { kind: 'detached' }
  | { kind: 'broken-pipe' }
  | { kind: 'forced' };

/** How long a command that was ended by force may take to say how it ended. Milliseconds. */
const lastWordsMs = 1000;

/**
 * Shows a command in the guest as if it ran here, until it ends or the keys to detach are typed: its outputs on ours,
 * our input, signals and window size to it. The terminal is as before afterwards, however this ends.
 */
export async function drive(context: Context, command: Driven, options: DriveOptions): Promise<DriveEnd> {
  using cleanup = new DisposableStack();
  const early = Promise.withResolvers<DriveEnd>();
  cleanup.use(forwardSignals(context, command, options, () => early.resolve({ kind: 'forced' })));
  if (options.tty) {
    cleanup.use(rawMode(context.stdin));
    cleanup.use(context.onSignals(['SIGWINCH'], () => void quietly(command.resize(terminalSize(context)))));
  }
  if (options.interactive) {
    const broken = async (error: Error): Promise<void> => {
      // The command must not take half an input for a whole one.
      await quietly(options.force());
      early.reject(unreadable(error));
    };
    const onDetach = () => early.resolve({ kind: 'detached' });
    cleanup.use(pumpInput(context, command, options, { onDetach, onBroken: (error) => void broken(error) }));
  }
  return await Promise.race([show(context, command, options), early.promise]);
}

/** The exit status of `viv` after a foreground command: the command's own, where it is known. */
export function statusOf(end: DriveEnd): number {
  if (end.kind === 'exit') return end.exit.code;
  // 128 + SIGKILL.
  return end.kind === 'forced' ? 137 : 0;
}

/** The command may have ended in the meantime; then there is nobody left to tell, and its exit says the rest. */
async function quietly(call: Promise<unknown>): Promise<void> {
  await call.catch(() => undefined);
}

/** The first signal is the command's, the second ends it by force, the third waits for nothing. */
function forwardSignals(
  context: Context,
  command: Driven,
  options: DriveOptions,
  onForced: () => void,
): Disposable {
  let told = 0;
  const force = async (): Promise<void> => {
    await quietly(options.force());
    // Its session may be gone with it, and would be looked for much longer.
    setTimeout(onForced, lastWordsMs).unref();
  };
  const names: SignalName[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  return context.onSignals(names, (name) => {
    told += 1;
    if (told === 1) void quietly(command.signal(name));
    else if (told === 2) void force();
    else onForced();
  });
}

async function show(context: Context, command: Driven, options: DriveOptions): Promise<DriveEnd> {
  try {
    for await (const { stream, data } of command.output) {
      await write(stream === 'stderr' ? context.stderr : context.stdout, data);
    }
  } catch (error) {
    if (!(error instanceof OutputGone)) throw error;
    await quietly(options.force());
    return { kind: 'broken-pipe' };
  }
  return { kind: 'exit', exit: await command.exit };
}

/** Of a stdin that is a directory, or lies on a disk that fails. */
export function unreadable(cause: Error): VivError {
  return new VivError('invalid_request', `The input cannot be read: ${cause.message}`, { cause });
}

interface PumpEnds {
  onDetach: () => void;
  /** Our input fails. A terminal that does has been closed: that is its end. */
  onBroken: (error: Error) => void;
}

/** Our stdin to the command, at the pace it reads. Disposing stops reading. */
function pumpInput(
  context: Context,
  command: Driven,
  { tty, detachable }: DriveOptions,
  { onDetach, onBroken }: PumpEnds,
): Disposable {
  const { stdin } = context;
  const keys = tty && detachable ? new KeyWatch(detachKeys) : undefined;
  let queue: Promise<void> = Promise.resolve();
  const send = (call: () => Promise<void>): void => {
    // Of a terminal every key is taken at once: behind a command that does not read, the keys to leave must be seen.
    if (!tty) stdin.pause();
    queue = queue.then(call).then(
      () => {
        if (!tty) stdin.resume();
      },
      // The command has ended or does not read: what is typed from here on goes nowhere.
      () => undefined,
    );
  };
  const onData = (data: Buffer): void => {
    const { pass, detached } = keys?.scan(data) ?? { pass: data, detached: false };
    if (pass.byteLength > 0) send(() => command.write(pass));
    if (detached) onDetach();
  };
  const onEnd = (): void => {
    queue = queue.then(() => quietly(command.end()));
  };
  const onError = tty ? onEnd : onBroken;
  stdin.on('data', onData).once('end', onEnd).once('error', onError);
  stdin.resume();
  return {
    [Symbol.dispose]() {
      stdin.off('data', onData).off('end', onEnd).off('error', onError);
      stdin.pause();
    },
  };
}
