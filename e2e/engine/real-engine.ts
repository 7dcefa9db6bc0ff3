import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Engine, type EngineOptions, openEngine } from '@vivarium/engine';

/** An engine with real VMs and a data directory of its own; nothing of either is left afterwards. */
export class RealEngine implements AsyncDisposable {
  readonly home: string;
  engine: Engine;

  private constructor(home: string, engine: Engine) {
    this.home = home;
    this.engine = engine;
  }

  static async open(options: EngineOptions = {}): Promise<RealEngine> {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-'));
    return new RealEngine(home, await openEngine({ ...options, home }));
  }

  /** Closed in order and opened again, as another program would. */
  async reopen(options: EngineOptions = {}): Promise<Engine> {
    await this.engine.close();
    this.engine = await openEngine({ ...options, home: this.home });
    return this.engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for await (const { id } of this.engine.all()) await (await this.engine.get(id)).delete({ force: true });
    await this.engine.close();
    const left = await processesBelow(this.home);
    await rm(this.home, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`Left running: ${left.map(({ command }) => command).join(', ')}`);
  }
}

/** Processes that work in a directory below `dir`: shims and VMMs of its instances. They get a moment to be gone. */
export async function processesBelow(
  dir: string,
  graceMs = 2000,
): Promise<{ pid: number; command: string }[]> {
  for (const deadline = Date.now() + graceMs; ; await delay(20)) {
    const found = [];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      // It may have ended since.
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      if (cwd.startsWith(`${dir}/`)) found.push({ pid: Number(pid), command: command.trim() });
    }
    if (found.length === 0 || Date.now() > deadline) return found;
  }
}

/** Asks until the answer is true. @throws after `timeoutMs`, naming what was waited for. */
export async function until(
  what: string,
  look: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !(await look()); await delay(20)) {
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
  }
}
