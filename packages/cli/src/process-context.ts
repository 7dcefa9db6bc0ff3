import type { Vivarium } from '@vivarium/model';
import { VivError } from '@vivarium/model';
import { type ConnectionOptions, connectDaemon } from './connection.ts';
import { type Context, type Input, type Output, type SignalName, write } from './context.ts';
import { signalStatus } from './failure.ts';
import { styleFor } from './render/style.ts';

const ending: readonly SignalName[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface ContextParts {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly connect: (options: ConnectionOptions) => Promise<Vivarium>;
}

/** The real process as a {@link Context}; parts of it may be replaced. */
export function processContext(parts: Partial<ContextParts> = {}): Context {
  const { stdout = process.stdout, stderr = process.stderr, env = process.env } = parts;
  const connect = parts.connect ?? ((options) => connectDaemon(env, options));
  const abort = new AbortController();
  const handlers: { names: readonly SignalName[]; handler: (name: SignalName) => void }[] = [];
  const listeners = new Map<SignalName, () => void>();
  let connection: Promise<Vivarium> | undefined;

  const deliver = (name: SignalName): void => {
    const taken = handlers.findLast(({ names }) => names.includes(name));
    if (taken !== undefined) taken.handler(name);
    if (taken !== undefined || !ending.includes(name)) return;
    // The first one lets the command undo what it began; the second one does not wait for that.
    if (abort.signal.aborted) process.exit(signalStatus(name));
    abort.abort(new VivError('cancelled', `Interrupted by ${name}.`));
  };
  const listen = (name: SignalName): void => {
    if (listeners.has(name)) return;
    const listener = () => deliver(name);
    listeners.set(name, listener);
    process.on(name, listener);
  };
  for (const name of ending) listen(name);

  const print = (text: string | Uint8Array) => write(stdout, text);
  return {
    // Opening stdin has effects (a terminal is put into event mode), so it waits until a command wants it.
    get stdin() {
      return parts.stdin ?? process.stdin;
    },
    stdout,
    stderr,
    env,
    signal: abort.signal,
    style: styleFor(stdout, env),
    errorStyle: styleFor(stderr, env),
    vivarium: (daemonArguments) => (connection ??= connect({ autostart: true, daemonArguments })),
    async running() {
      try {
        return await (connection ?? connect({ autostart: false }));
      } catch (error) {
        if (error instanceof VivError && error.code === 'daemon_unreachable') return undefined;
        throw error;
      }
    },
    onSignals(names, handler) {
      const entry = { names, handler };
      handlers.push(entry);
      names.forEach(listen);
      return { [Symbol.dispose]: () => void handlers.splice(handlers.indexOf(entry), 1) };
    },
    print,
    printJson: (value, form = 'pretty') =>
      print(`${JSON.stringify(value, undefined, form === 'pretty' ? 2 : 0)}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    async [Symbol.asyncDispose]() {
      for (const [name, listener] of listeners) process.off(name, listener);
      // A connection that failed has nothing to close, and its error was reported where it was awaited.
      const open = await connection?.catch(() => undefined);
      await open?.[Symbol.asyncDispose]();
    },
  };
}
