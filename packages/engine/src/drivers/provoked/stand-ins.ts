import { execFile } from 'node:child_process';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { readIdentity } from '../../host/identity.ts';
import { findQemu } from '../../host/qemu.ts';
import type { ProcessIdentity } from '../driver.ts';
import { closed, eventually, type Stage, saidIn } from './stage.ts';

const run = promisify(execFile);

/** The driver asks QEMU who it is before it starts it, and the shim how fast the host counts: such questions go through. */
const questions = (program: string) =>
  `case "$1" in --version | -machine | tsc) exec '${program}' "$@" ;; esac\n`;

async function script(stage: Stage, name: string, text: string): Promise<string> {
  const file = path.join(stage.real.home, name);
  await writeFile(file, `#!/bin/sh\n${text}`);
  await chmod(file, 0o755);
  stage.defer(() => rm(file));
  return file;
}

export async function realQemu(): Promise<string> {
  return (await findQemu()).path;
}

/** Stands before a program, in its process, and waits to be told how to go on. */
export class Gate {
  readonly path: string;
  readonly #arrived: string;
  readonly #order: string;

  private constructor(path: string, arrived: string, order: string) {
    this.path = path;
    this.#arrived = arrived;
    this.#order = order;
  }

  static async before(stage: Stage, program: string): Promise<Gate> {
    const [arrived, order] = ['arrived', 'order'].map((name) => path.join(stage.real.home, name)) as [
      string,
      string,
    ];
    await run('mkfifo', [order]);
    stage.defer(() => Promise.all([arrived, order].map((file) => rm(file, { force: true }))).then(() => {}));
    // Only built-in commands: the shim is started without a search path.
    const text = `${questions(program)}echo $$ > '${arrived}'
read -r order < '${order}'
case $order in
  pass) exec '${program}' "$@" ;;
  crash) kill -SEGV $$ ;;
  *) echo "out of luck" >&2; exit 1 ;;
esac
`;
    return new Gate(await script(stage, 'gate', text), arrived, order);
  }

  /** Who stands there. */
  async reached(): Promise<ProcessIdentity> {
    const pid = Number(await saidIn(this.#arrived, /\n/));
    return eventually('the process at the gate', () => readIdentity(pid));
  }

  /** After {@link reached} only: without a reader this waits for one. */
  async order(how: 'pass' | 'fail' | 'crash'): Promise<void> {
    await writeFile(this.#order, `${how}\n`);
  }
}

/** The real QEMU with a text of its command line replaced, and with more arguments. */
export async function alteredQemu(
  stage: Stage,
  { from, to, more = [] }: { from?: string; to?: string; more?: string[] },
): Promise<string> {
  const qemu = await realQemu();
  const replace =
    from === undefined ? '' : `case $a in *'${from}'*) a="\${a%%'${from}'*}${to}\${a#*'${from}'}" ;; esac`;
  const text = `${questions(qemu)}n=$#
while [ "$n" -gt 0 ]; do
  a=$1; shift
  ${replace}
  set -- "$@" "$a"
  n=$((n - 1))
done
exec '${qemu}' "$@" ${more.map((argument) => `'${argument}'`).join(' ')}
`;
  return script(stage, 'altered-qemu', text);
}

/** Where QEMU listens instead, for a {@link ControlLine} to lie between. */
const hidden = 'hidden.sock';

/** A QEMU whose control socket is not where the driver looks for it. */
export function qemuBehindLine(stage: Stage): Promise<string> {
  return alteredQemu(stage, { from: 'unix:qmp.sock,', to: `unix:${hidden},` });
}

export const hiddenSocket = (dir: string): string => path.join(dir, hidden);

/** The way from the driver to QEMU's control socket. It can be cut, and mended. */
export class ControlLine {
  readonly #dir: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(stage: Stage, dir: string) {
    this.#dir = dir;
    stage.defer(async () => {
      await this.cut();
      await rm(hiddenSocket(dir), { force: true });
    });
  }

  async mend(): Promise<void> {
    await this.#listen((socket) => {
      const qemu = connect(hiddenSocket(this.#dir));
      this.#hold(qemu);
      qemu.once('close', () => socket.destroy());
      socket.once('close', () => qemu.destroy());
      socket.pipe(qemu).pipe(socket);
    });
  }

  /** Once QEMU answers: its socket is there a moment before it listens. */
  async mendOnceUp(): Promise<void> {
    await eventually('QEMU listens', () => listens(hiddenSocket(this.#dir)));
    await this.mend();
  }

  /** Somebody is there who hangs up on everyone. */
  async hangUp(): Promise<void> {
    await this.#listen((socket) => socket.destroy());
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const gone = new Promise((resolve) => server.close(resolve));
    await Promise.all([...this.#sockets].map(closed));
    await gone;
  }

  async #listen(take: (socket: Socket) => void): Promise<void> {
    const server = createServer((socket) => {
      this.#hold(socket);
      take(socket);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(path.join(this.#dir, 'qmp.sock'), resolve));
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

function listens(socketPath: string): Promise<true | undefined> {
  const { promise, resolve } = Promise.withResolvers<true | undefined>();
  const socket = connect(socketPath, () => resolve(true));
  socket.once('error', () => resolve(undefined));
  return promise.finally(() => socket.destroy());
}
