import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { VivError } from '@vivarium/model';

/** How long a daemon may take to be ready; it finds every VM again first. Milliseconds. */
const startMs = 60_000;

/** How long the winner of a race may take to open its socket once it holds the directory. Milliseconds. */
const winnerMs = 10_000;

/**
 * A daemon that is mostly idle would keep the young generation it once needed, and lets what is old grow to a multiple before it is
 * collected. Of its own it had 136 to 184 MB with a thousand simulated VMs, and has 136 and 138 where that grows by three fifths; they
 * are made as fast.
 */
export const daemonFlags: readonly string[] = [
  '--max-semi-space-size=2',
  '--heap-growing-percent=60',
  '--disable-warning=ExperimentalWarning',
];

export interface AutostartOptions {
  home: string;
  socket: string;
  env: NodeJS.ProcessEnv;
  /** For the daemon's command line: `--listen`, `--tls-cert`, … */
  args?: readonly string[];
}

/**
 * Starts `vivd` for a data directory and waits until it answers. Where several try at once one wins, and all use it.
 *
 * @throws VivError what the daemon said when it could not start, `data_dir_locked` where something else than a daemon has
 * the directory, `timeout`.
 */
export async function startDaemon(options: AutostartOptions, signal?: AbortSignal): Promise<void> {
  const { home, socket, env, args = [] } = options;
  const output = path.join(home, 'vivd.start.log');
  const fd = openOutput(home, output);
  const child = spawn(process.execPath, [...daemonFlags, daemonProgram(), '--home', home, ...args], {
    detached: true,
    stdio: ['ignore', fd, fd, 'pipe'],
    cwd: '/',
    env: { ...env, VIVD_READY_FD: '3', NODE_COMPILE_CACHE: path.join(home, 'cache', 'node') },
  });
  closeSync(fd);
  child.unref();
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, by) => resolve(by === null ? `with status ${code}` : `by ${by}`));
    child.once('error', (error) => resolve(`before it began: ${error.message}`));
  });
  const timeout = AbortSignal.timeout(startMs);
  const stop = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const line = await firstLine(child.stdio[3] as Readable, stop);
  if (line === undefined) {
    const words = tail(output);
    throw new VivError(
      'daemon_unreachable',
      `vivd ended ${await exited}${words === '' ? '' : `:\n${words}`}`,
      {
        hint: `Its log is ${path.join(home, 'vivd.log')}.`,
        details: { log: words },
      },
    );
  }
  const said = JSON.parse(line) as { ready?: object; error?: { code: string; message: string } };
  if (said.error === undefined) return;
  // It has said why, and is about to end; until then it may still write below the data directory.
  child.ref();
  await exited;
  const error = VivError.fromRecord(said.error);
  const raced = error.code === 'data_dir_locked' && ownerOf(home) === 'vivd';
  if (!raced || !(await appears(socket, signal))) throw error;
}

function openOutput(home: string, output: string): number {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    return openSync(output, 'w', 0o600);
  } catch (cause) {
    const error = VivError.from(cause);
    if (error.code === 'disk_full') throw error;
    throw new VivError('daemon_unreachable', `vivd can't be started in ${home}: ${error.message}`, {
      hint: 'VIV_HOME names a directory that you can write to.',
      cause,
    });
  }
}

/** What the program that owns a data directory is called; the engine writes it down once it has the lock. */
function ownerOf(home: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(path.join(home, 'owner.json'), 'utf8')) as { program?: string }).program;
  } catch {
    // The owner is so new that it has written nothing yet: most likely another daemon.
    return 'vivd';
  }
}

/** Whether a daemon takes connections there before long. */
async function appears(socket: string, signal?: AbortSignal): Promise<boolean> {
  for (const deadline = Date.now() + winnerMs; Date.now() < deadline; ) {
    signal?.throwIfAborted();
    if (await accepts(socket)) return true;
    await sleep(20);
  }
  return false;
}

/** Whether somebody takes connections on a socket. */
export function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    const settle = (answer: boolean) => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', () => settle(false));
  });
}

/** The daemon's program: a package beside this one, which a client alone does not need. */
function daemonProgram(): string {
  try {
    return fileURLToPath(import.meta.resolve('@vivarium/daemon/main'));
  } catch (cause) {
    throw new VivError('daemon_unreachable', 'vivd does not run, and its package is not installed here', {
      hint: 'Install @vivarium/daemon, or start vivd yourself.',
      cause,
    });
  }
}

async function firstLine(stream: Readable, signal: AbortSignal): Promise<string | undefined> {
  let text = '';
  const abort = () => stream.destroy(VivError.from(signal.reason));
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.includes('\n')) return text.split('\n')[0];
    }
    return undefined;
  } finally {
    signal.removeEventListener('abort', abort);
    stream.destroy();
  }
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-20).join('\n');
}
