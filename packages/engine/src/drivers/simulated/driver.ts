import { VivError } from '@vivarium/model';
import { goneMeanwhile } from '../../saved-states/check.ts';
import { keepsTime } from '../../saved-states/clock-rate.ts';
import type {
  Capabilities,
  DormantPorts,
  DormantSpec,
  Driver,
  ExitRecord,
  Machine,
  MachineSpec,
  SavedState,
} from '../driver.ts';
import { injectedError } from './faults.ts';
import type { SimulatedHost } from './host.ts';
import { bootGuest, meetFault, never, passing, SimulatedMachine } from './machine.ts';
import { checkFits, readMemory } from './save.ts';
import type { SimulatedVmm } from './vmm.ts';

/** Machines without hardware: all of the {@link Driver} contract, in this process, with faults on request. */
export class SimulatedDriver implements Driver {
  readonly name = 'simulated';
  readonly #host: SimulatedHost;
  readonly #process = { killed: false };

  /** Drivers come and go; the host keeps the machines. */
  constructor(host: SimulatedHost) {
    this.#host = host;
  }

  capabilities(): Capabilities {
    return {
      pause: true,
      prepare: true,
      shutdownKeepsVmm: true,
      consoleInput: true,
      diskGrowLive: true,
      volumes: true,
      save: true,
      holdPorts: true,
      networks: ['user', 'none'],
      maxCpus: 16,
    };
  }

  /** Of the process that drives: what it was doing goes no step further. */
  die(): void {
    this.#process.killed = true;
  }

  async build(): Promise<string> {
    return 'simulated';
  }

  async keepsTime({ manifest }: SavedState): Promise<boolean> {
    return keepsTime(manifest.tscKhz, this.#host.tscKhz);
  }

  async launch(spec: MachineSpec, signal?: AbortSignal, from?: SavedState): Promise<Machine> {
    let vmm: SimulatedVmm | undefined;
    try {
      signal?.throwIfAborted();
      if (from !== undefined) await checkFits(from, spec);
      await this.#beforeSpawn(spec, signal);
      vmm = this.#host.spawn(spec, this.name, from);
      await this.#afterSpawn(vmm, signal, from);
      return new SimulatedMachine(this.#host, vmm, this.#process);
    } catch (error) {
      if (this.#process.killed) return never;
      if (vmm !== undefined) {
        vmm.end({ signal: 'SIGKILL' });
        this.#host.forget(spec.dir);
      }
      if (!signal?.aborted) throw from === undefined ? error : await goneMeanwhile(from, error);
      throw new VivError('cancelled', `The launch of ${spec.instanceId} was cancelled`, { cause: error });
    }
  }

  async #beforeSpawn(spec: MachineSpec, signal?: AbortSignal): Promise<void> {
    const fault = this.#host.faults.take('launch.before-spawn', spec.dir);
    if (fault?.effect === 'error') throw injectedError('launch.before-spawn', fault);
    if (fault?.effect === 'delay') await passing(fault.milliseconds, [], signal);
    if (fault?.effect === 'hang') await passing(undefined, [this.#host.faults.cleared], signal);
    // A launch is never over in the turn in which it was asked for.
    await Promise.resolve();
    signal?.throwIfAborted();
  }

  async #afterSpawn(vmm: SimulatedVmm, signal?: AbortSignal, from?: SavedState): Promise<void> {
    await meetFault(this.#host, vmm, 'launch.after-spawn', { signal });
    if (from !== undefined && vmm.exit === undefined) {
      await meetFault(this.#host, vmm, 'restore.load', { signal });
      const memory = await readMemory(from);
      if (vmm.exit === undefined) vmm.load(memory);
    }
    // A fresh VMM runs by itself; one with saved memory is told to.
    if (from !== undefined && this.#process.killed) await never;
    if (vmm.exit === undefined && vmm.spec.run && vmm.run()) void bootGuest(this.#host, vmm);
    await meetFault(this.#host, vmm, 'launch.before-ready', { signal });
    signal?.throwIfAborted();
    if (vmm.exit === undefined) return;
    throw new VivError('vmm_failed', `The VMM of ${vmm.spec.instanceId} ended while it was being launched`, {
      details: { exit: vmm.exit },
    });
  }

  async adopt(dir: string): Promise<Machine | ExitRecord | undefined> {
    const vmm = this.#host.find(dir);
    if (vmm === undefined) return undefined;
    if (vmm.exit === undefined)
      await meetFault(this.#host, vmm, 'adopt', { patienceMs: this.#host.answerMs });
    return vmm.exit ?? new SimulatedMachine(this.#host, vmm, this.#process);
  }

  async dormantPorts(dir: string, spec: DormantSpec): Promise<DormantPorts> {
    if (this.#process.killed) return never;
    return this.#host.ports.dormant(dir, spec);
  }
}
