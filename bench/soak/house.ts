import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import type { Vivarium, Vm } from '@vivarium/model';
import { startDaemon } from '../daemon.ts';

/** A data directory and its daemon, which can be killed. */
export class House implements AsyncDisposable {
  readonly home: string;
  viv: Vivarium;
  #daemon: Awaited<ReturnType<typeof startDaemon>>;

  private constructor(home: string, daemon: Awaited<ReturnType<typeof startDaemon>>) {
    this.home = home;
    this.#daemon = daemon;
    this.viv = connect({ home, autostart: false });
  }

  static async open(): Promise<House> {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-soak-'));
    return new House(home, await startDaemon(home, 'qemu'));
  }

  /** SIGKILL, and another daemon in its place. */
  async killDaemon(): Promise<void> {
    process.kill(this.#daemon.pid, 'SIGKILL');
    await this.#daemon[Symbol.asyncDispose]();
    await this.viv[Symbol.asyncDispose]();
    this.#daemon = await startDaemon(this.home, 'qemu');
    this.viv = connect({ home: this.home, autostart: false });
  }

  /** Nothing where it has no VMM. */
  async killVmm(vm: Vm): Promise<void> {
    try {
      const text = await readFile(path.join(this.instanceDir(vm), 'shim.json'), 'utf8');
      process.kill((JSON.parse(text) as { vmm: { pid: number } }).vmm.pid, 'SIGKILL');
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  instanceDir(vm: Vm): string {
    return path.join(this.home, 'instances', vm.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const left = await Array.fromAsync(this.viv.all());
    for (const { id } of left) await (await this.viv.get(id)).delete({ force: true });
    await this.viv[Symbol.asyncDispose]();
    await this.#daemon[Symbol.asyncDispose]();
    await rm(this.home, { recursive: true, force: true });
  }
}
