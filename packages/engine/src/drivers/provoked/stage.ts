import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntilGone } from '../../host/identity.ts';
import { isMachine } from '../conformance/bench.ts';
import type { ExitRecord, Machine, MachineSpec, ProcessIdentity } from '../driver.ts';
import { sockets } from '../qemu/command-line.ts';
import { QemuDriver } from '../qemu/driver.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { RealMachines } from '../qemu/real-machines.ts';
import { readShimFile } from '../qemu/record.ts';

/** Longest wait for anything that a test waits for, milliseconds: a whole boot on a busy host. */
export const patienceMs = 60_000;

/** Real machines, and what one test has put among them: all of it goes when the test ends. */
export class Stage implements AsyncDisposable {
  readonly real: RealMachines;
  readonly #machines = new Set<Machine>();
  readonly #frozen = new Set<ProcessIdentity>();
  readonly #undo: (() => void | Promise<void>)[] = [];

  private constructor(real: RealMachines) {
    this.real = real;
  }

  static async open(): Promise<Stage> {
    return new Stage(await RealMachines.open());
  }

  /** A driver over other programs than the real ones. */
  driver(programs: { shimPath?: string; qemuPath?: string } = {}): QemuDriver {
    return new QemuDriver({ shimPath: this.real.assets.shim.path, accelerator: 'tcg', ...programs });
  }

  async launch(overrides: Partial<MachineSpec> = {}, qemuPath?: string): Promise<Machine> {
    const spec = await this.real.spec(overrides);
    return this.keep(await this.driver(qemuPath === undefined ? {} : { qemuPath }).launch(spec));
  }

  keep(machine: Machine): Machine {
    this.#machines.add(machine);
    return machine;
  }

  /** Lets go of a machine and finds it again, as a restarted daemon does. */
  async adoptAnew(machine: Machine): Promise<Machine | ExitRecord | undefined> {
    await machine[Symbol.asyncDispose]();
    const found = await this.real.restarted().adopt(machine.record.dir);
    if (found === undefined || !isMachine(found)) return found;
    this.#machines.delete(machine);
    return this.keep(found);
  }

  freeze(process_: ProcessIdentity): void {
    process.kill(process_.pid, 'SIGSTOP');
    this.#frozen.add(process_);
  }

  /** One that was sent something deadly before it had really stopped is gone by now. */
  thaw(process_: ProcessIdentity): void {
    this.#frozen.delete(process_);
    try {
      process.kill(process_.pid, 'SIGCONT');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** Done at the end of the test, the last one first. */
  defer(undo: () => void | Promise<void>): void {
    this.#undo.push(undo);
  }

  async undo(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }

  /** Another client of the machine's VMM, at the monitor that is the shim's. */
  async monitor(machine: Machine): Promise<QmpClient> {
    const monitor = await QmpClient.connect(machine.record.dir, sockets.guard);
    this.defer(() => monitor.close());
    return monitor;
  }

  async guestAnswers(machine: Machine): Promise<void> {
    const signal = AbortSignal.timeout(patienceMs);
    const guest = await this.real.connectGuest((channel) => machine.open(channel), signal);
    await guest.ping();
    await guest[Symbol.asyncDispose]();
  }

  /** No process, no socket, no record. */
  async nothingIsLeftIn(dir: string): Promise<void> {
    assert.deepEqual(await this.real.leftovers(), []);
    assert.equal(await this.real.restarted().adopt(dir), undefined);
  }

  /** Ends what the test has left. Whatever came of it, nothing of it may be there afterwards. */
  async clear(): Promise<void> {
    for (const process_ of [...this.#frozen]) {
      if (!(await waitUntilGone(process_, 0))) this.thaw(process_);
    }
    this.#frozen.clear();
    for (const machine of this.#machines) {
      // Of one that was let go of, another handle has the end.
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
    this.#machines.clear();
    await this.undo();
    assert.deepEqual(await this.real.leftovers(), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.real[Symbol.asyncDispose]();
  }
}

/** Asks until there is an answer. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await sleep(5)) {
    const seen = await look();
    if (seen !== undefined) return seen;
  }
  throw new Error(`not within ${patienceMs} ms: ${what}`);
}

/** What a file has to say once it has come to that; a file that is not there says nothing. */
export function saidIn(file: string, words: RegExp): Promise<string> {
  return eventually(`${words} in ${file}`, async () => {
    const text = await readFile(file, 'utf8').catch(absent);
    return text !== undefined && words.test(text) ? text : undefined;
  });
}

export function consoleSays({ record }: Machine, words: RegExp): Promise<string> {
  return saidIn(path.join(record.dir, 'console.log'), words);
}

export async function isThere(file: string): Promise<void> {
  await eventually(file, () => access(file).then(() => true, absent));
}

/** The VMM of a machine whose launch has not returned. */
export async function vmmIn(dir: string): Promise<ProcessIdentity> {
  return eventually('a VMM on record', async () => (await readShimFile(dir))?.vmm);
}

export function removeAtEnd(stage: Stage, file: string): void {
  stage.defer(() => rm(file, { force: true, recursive: true }));
}

export function closed(stream: NodeJS.EventEmitter & { destroy(): void }): Promise<unknown> {
  const end = once(stream, 'close');
  stream.destroy();
  return end;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
