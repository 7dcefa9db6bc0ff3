import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineSpec } from '@vivarium/engine';
import { qemuArguments } from '../../packages/engine/src/drivers/qemu/command-line.ts';

/** A QEMU with our arguments and nothing of ours around it: no shim, no journal, no image store. */
export class RawMachine implements AsyncDisposable {
  readonly dir: string;
  readonly #process: ChildProcess;

  private constructor(dir: string, child: ChildProcess) {
    this.dir = dir;
    this.#process = child;
  }

  static async launch(spec: Omit<MachineSpec, 'dir' | 'instanceId'>): Promise<RawMachine> {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-floor-'));
    const args = qemuArguments(
      { ...spec, dir, instanceId: 'floor' },
      { accelerator: 'tcg', machine: 'pc-q35-7.2' },
    );
    const plain = args.map((arg) => arg.replace(/^socket,id=(\w+),fd=.*$/, 'null,id=$1'));
    return new RawMachine(
      dir,
      spawn('qemu-system-x86_64', plain, { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] }),
    );
  }

  /** Connects as soon as QEMU listens. */
  async open(channel: 'control' | 'bulk'): Promise<net.Socket> {
    for (;;) {
      try {
        return await new Promise((resolve, reject) => {
          const socket = net.connect(path.join(this.dir, `${channel}.sock`));
          socket.once('connect', () => resolve(socket));
          socket.once('error', reject);
        });
      } catch (error) {
        if (this.#process.exitCode !== null) throw error;
        await delay(2);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGKILL');
      await gone;
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}
