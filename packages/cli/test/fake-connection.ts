import { PassThrough } from 'node:stream';
import type { ExecConnection, ExecExit, ExecOutput, TerminalSize } from '@vivarium/model';

/** What a scripted command sees of its session. */
export interface Session {
  /** Name of the VM it runs in. */
  readonly vm: string;
  readonly argv: readonly string[];
  readonly stdin: PassThrough;
  /** Everything it was told, in order: `SIGINT`, `resize 24x80`, `close`. */
  readonly heard: string[];
  out(text: string | Uint8Array): void;
  err(text: string): void;
  /** Resolves at the first signal. */
  readonly signalled: Promise<string>;
}

export type Program = (session: Session) => Promise<number | ExecExit>;

/** Scripted commands by their first word; what is not here is `command_not_found`. */
export type Programs = Record<string, Program>;

export type FakeConnection = ExecConnection & { heard: string[] };

/** A command in a guest that is really a function here. */
export function fakeConnection(argv: readonly string[], program: Program, vm = ''): FakeConnection {
  const heard: string[] = [];
  const queue: ExecOutput[] = [];
  let wake = Promise.withResolvers<void>();
  let ended = false;
  const signalled = Promise.withResolvers<string>();
  const killed = Promise.withResolvers<ExecExit>();
  const stdin = new PassThrough();
  const push = (stream: 'stdout' | 'stderr', text: string | Uint8Array): void => {
    queue.push({ stream, data: Buffer.from(text) });
    wake.resolve();
  };
  const session: Session = {
    vm,
    argv,
    stdin,
    heard,
    signalled: signalled.promise,
    out: (text) => push('stdout', text),
    err: (text) => push('stderr', text),
  };
  const exit = Promise.race([
    program(session).then((end) => (typeof end === 'number' ? { code: end } : end)),
    killed.promise,
  ]).finally(() => {
    ended = true;
    wake.resolve();
  });
  exit.catch(() => undefined);
  async function* output(): AsyncGenerator<ExecOutput> {
    for (;;) {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) yield next;
      if (ended) return;
      await wake.promise;
      wake = Promise.withResolvers();
      if (ended) wake.resolve();
    }
  }
  return {
    execId: 'fake',
    heard,
    output: output(),
    exit,
    write: async (data) => void stdin.write(data),
    end: async () => void stdin.end(),
    resize: async ({ rows, cols }: TerminalSize) => void heard.push(`resize ${rows}x${cols}`),
    async signal(name) {
      heard.push(name);
      signalled.resolve(name);
      if (name === 'SIGKILL') killed.resolve({ code: 137, signal: 'SIGKILL' });
    },
    close: async () => void heard.push('close'),
  };
}
