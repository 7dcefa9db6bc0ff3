import { type ChildProcess, spawn } from 'node:child_process';
import { link, mkdtemp, open, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineSpec } from '@vivarium/engine';
import { incomingUri, qemuArguments } from '../../packages/engine/src/drivers/qemu/command-line.ts';
import { memoryFiles } from '../../packages/engine/src/drivers/qemu/memory.ts';

/** Files of a machine that stood still. */
export interface RawState {
  memory: string;
  devices: string;
}

/** A QEMU with our arguments and nothing of ours around it: no shim, no journal, no image store. */
export class RawMachine implements AsyncDisposable {
  readonly dir: string;
  readonly #process: ChildProcess;

  private constructor(dir: string, child: ChildProcess) {
    this.dir = dir;
    this.#process = child;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** With a state: the memory is mapped, the devices are loaded from a descriptor, and the vCPUs run as soon as they are. */
  static async launch(spec: Omit<MachineSpec, 'dir' | 'instanceId'>, from?: RawState): Promise<RawMachine> {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-floor-'));
    if (from) await link(from.memory, path.join(dir, memoryFiles.base));
    await using devices = from && (await open(from.devices));
    const args = qemuArguments(
      { ...spec, dir, instanceId: 'floor' },
      { accelerator: 'tcg', machine: 'pc-q35-7.2', virtio: 'legacy' },
      from && 'at-start',
    );
    const plain = args
      .map((arg) => arg.replace(/^socket,id=(\w+),fd=.*$/, 'null,id=$1').replace(incomingUri, 'fd:3'))
      .filter((arg) => from === undefined || arg !== '-S');
    const stdio = ['ignore', 'ignore', 'inherit', ...(devices ? [devices.fd] : [])] as const;
    return new RawMachine(dir, spawn('qemu-system-x86_64', plain, { cwd: dir, stdio: [...stdio] }));
  }

  /** Connects as soon as QEMU listens. */
  async open(channel: 'control' | 'bulk' | 'qmp'): Promise<net.Socket> {
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
