import { VivError } from '@vivarium/model';
import { abortable } from '../../guest/abort.ts';
import { goneMeanwhile } from '../../saved-states/check.ts';
import { keepsTime } from '../../saved-states/clock-rate.ts';
import {
  type Capabilities,
  type DormantPorts,
  type DormantSpec,
  type Driver,
  type ExitRecord,
  type ExpectedState,
  isExpected,
  type Machine,
  type MachineSpec,
  type SavedState,
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

  async launch(spec: MachineSpec, signal?: AbortSignal, from?: SavedState | ExpectedState): Promise<Machine> {
    let vmm: SimulatedVmm | undefined;
    let state = isExpected(from) ? undefined : from;
    // Where it fails before the VMM is ready, that is heard of then.
    if (isExpected(from)) from.state.catch(() => undefined);
    try {
      signal?.throwIfAborted();
      if (state !== undefined) await checkFits(state, spec);
      await this.#beforeSpawn(spec, signal);
      vmm = this.#host.spawn(spec, this.name, from);
      await meetFault(this.#host, vmm, 'launch.after-spawn', { signal });
      if (isExpected(from)) {
        from.started?.();
        state = await arrived(from, vmm, signal);
        await checkFits(state, spec);
      }
      await this.#afterSpawn(vmm, signal, state);
      return new SimulatedMachine(this.#host, vmm, this.#process);
    } catch (error) {
      if (this.#process.killed) return never;
      if (vmm !== undefined) {
        vmm.end({ signal: 'SIGKILL' });
        this.#host.forget(spec.dir);
      }
      if (!signal?.aborted) throw state === undefined ? error : await goneMeanwhile(state, error);
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
    throw endedEarly(vmm);
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

/** A VMM waits for what it is to load. Its end ends the wait. */
async function arrived(
  { state }: ExpectedState,
  vmm: SimulatedVmm,
  signal?: AbortSignal,
): Promise<SavedState> {
  const exited = vmm.exited.then(() => undefined);
  const come = await abortable(Promise.race([state, exited]), signal);
  return come ?? Promise.reject(endedEarly(vmm));
}

function endedEarly({ spec, exit }: SimulatedVmm): VivError {
  return new VivError('vmm_failed', `The VMM of ${spec.instanceId} ended while it was being launched`, {
    details: { exit },
  });
}
