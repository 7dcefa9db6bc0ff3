import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import type { Vivarium } from '@vivarium/model';
import { processesBelow } from '../engine/real-engine.ts';

const program = path.resolve(import.meta.dirname, '../../packages/daemon/src/main.ts');

/** A `vivd` with real VMs and a data directory of its own, which a test may kill and start as it likes. */
export class RealDaemon implements AsyncDisposable {
  readonly home: string;
  /** The SDK; it does not start a daemon by itself, so that a test decides when there is one. */
  readonly viv: Vivarium;
  #child: ChildProcess | undefined;
  readonly #token: string | undefined;

  private constructor(home: string, token: string | undefined) {
    this.home = home;
    this.#token = token;
    this.viv = connect({ home, autostart: false });
  }

  /** With a token it listens on a free port of the loopback interface too. */
  static async start({ token }: { token?: string } = {}): Promise<RealDaemon> {
    const daemon = new RealDaemon(await mkdtemp(path.join(tmpdir(), 'vd-')), token);
    await daemon.start();
    return daemon;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Resolves once it is ready. */
  async start(): Promise<void> {
    const child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        program,
        '--home',
        this.home,
        ...(this.#token === undefined ? [] : ['--listen', '127.0.0.1:0']),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, VIVD_TOKEN: this.#token } },
    );
    this.#child = child;
    let said = '';
    child.stderr.on('data', (data: Buffer) => {
      said += String(data);
    });
    const ready = once(child.stdout, 'data');
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`vivd ended with ${code}: ${said}`);
    });
    ended.catch(() => undefined);
    await Promise.race([ready, ended]);
  }

  /** Of its TCP listener, as its log has it. */
  async url(): Promise<string> {
    const lines = (await readFile(path.join(this.home, 'vivd.log'), 'utf8')).trim().split('\n');
    const url = lines
      .map((line) => /"url":"([^"]+)"/.exec(line)?.[1])
      .findLast((found) => found !== undefined);
    if (url === undefined) throw new Error('vivd does not listen on TCP');
    return url;
  }

  /** As the worst kind of accident: nothing of it gets to run any more. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  instanceDir(id: string): string {
    return path.join(this.home, 'instances', id);
  }

  /** Pids of an instance's shim and VMM, as the shim wrote them down. */
  async pids(id: string): Promise<{ shim: number; vmm: number }> {
    const record = JSON.parse(await readFile(path.join(this.instanceDir(id), 'shim.json'), 'utf8'));
    return { shim: record.shim.pid, vmm: record.vmm.pid };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child === undefined) await this.start();
    for await (const { id } of this.viv.all()) await (await this.viv.get(id)).delete({ force: true });
    await this.viv[Symbol.asyncDispose]();
    await this.stop();
    const left = await processesBelow(this.home);
    await rm(this.home, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`Left running: ${left.map(({ command }) => command).join(', ')}`);
  }
}
