import { randomUUID } from 'node:crypto';
import { VivError } from '@vivarium/model';
import { keepsTime } from '../../saved-states/clock-rate.ts';
import {
  type DiskSpec,
  type ExitRecord,
  type ExpectedState,
  inheritedFrom,
  type MachineSpec,
  type SavedState,
} from '../driver.ts';
import { Faults } from './faults.ts';
import { SimulatedGuest, type SimulatedGuestOptions } from './guest/index.ts';
import type { Hardware, MakeGuest } from './hardware.ts';
import { MachineLogs } from './logs.ts';
import { SimulatedPorts } from './ports.ts';
import { SimulatedVmm } from './vmm.ts';

export interface SimulatedHostOptions {
  /** For guests of another kind. Default: {@link SimulatedGuest}. */
  makeGuest?: MakeGuest;
  /** Programs and clock of the simulated guests. */
  guest?: Pick<SimulatedGuestOptions, 'programs' | 'clock' | 'agentVersion'>;
  /** `files`: console.log and app.log in the machine's directory, as the shim keeps them. `none`: no file at all. Default `files`. */
  logs?: 'files' | 'none';
  /** Milliseconds after which a VMM that doesn't answer has failed. Default 2000. */
  answerMs?: number;
  /** Milliseconds since 1970, for how long ago a connection has ended. Default the host's clock. */
  now?: () => number;
}

/** Above any pid Linux gives (2^22), so that a simulated pid is never a real process. */
const firstPid = 5_000_000;

/**
 * The host that simulated machines live on. It outlives drivers: a new driver over the same host finds every machine again,
 * with the pids it had.
 */
export class SimulatedHost {
  readonly faults = new Faults();
  readonly ports: SimulatedPorts;
  readonly answerMs: number;
  readonly bootId = randomUUID();
  /** How fast its time stamp counter is; of another host it is another. */
  tscKhz = 2_000_000;
  /** Told of every guest before anybody speaks to it: for faults inside of one that is not there yet. */
  onGuest: ((guest: SimulatedGuest, dir: string) => void) | undefined;
  readonly #options: SimulatedHostOptions;
  readonly #vmms = new Map<string, SimulatedVmm>();
  readonly #guests = new Map<string, SimulatedGuest>();
  #nextPid = firstPid;

  constructor(options: SimulatedHostOptions = {}) {
    this.#options = options;
    this.ports = new SimulatedPorts(options.now);
    this.answerMs = options.answerMs ?? 2000;
  }

  /** The processes of a machine come to be. @throws VivError `conflict`, `port_in_use`. */
  spawn(spec: MachineSpec, driver: string, from?: SavedState | ExpectedState): SimulatedVmm {
    const before = this.#vmms.get(spec.dir);
    if (before !== undefined && before.exit === undefined) {
      throw new VivError('conflict', `A machine is alive in ${spec.dir}`, {
        hint: 'Adopt it, or end it first.',
      });
    }
    for (const disk of spec.disks) if (disk.unit !== undefined) this.lockVolume(disk);
    const tscKhz = from ? inheritedFrom(from).tscKhz : this.tscKhz;
    const ports = this.ports.bind(spec.publish, spec);
    const identity = () => ({
      pid: this.#nextPid,
      startTime: this.#nextPid++ - firstPid,
      bootId: this.bootId,
    });
    const record = {
      driver,
      instanceId: spec.instanceId,
      dir: spec.dir,
      shim: identity(),
      vmm: identity(),
      vmmName: 'simulated',
      vmmVersion: '1',
      accelerator: 'none',
      machine: 'simulated',
      ports,
      launchedAt: new Date().toISOString(),
      ...(keepsTime(tscKhz, this.tscKhz) ? {} : { clockSource: 'acpi_pm' }),
    };
    const logs = this.#options.logs === 'none' ? undefined : new MachineLogs(spec);
    const vmm = new SimulatedVmm(spec, record, {
      tscKhz,
      makeGuest: this.#options.makeGuest ?? ((hardware, memory) => this.#makeGuest(hardware, memory)),
      log: (name, data) => logs?.append(name, data),
      ended: () => {
        this.ports.release(spec.dir);
        this.#guests.delete(spec.dir);
      },
    });
    this.#vmms.set(spec.dir, vmm);
    return vmm;
  }

  /** As a VMM's locks on the files of its disks. @throws VivError `vmm_failed` where another machine is in the way. */
  lockVolume(disk: DiskSpec): void {
    for (const { volumes, spec } of this.alive()) {
      for (const other of volumes.values()) {
        if (other.path !== disk.path || (other.readOnly && disk.readOnly)) continue;
        throw new VivError('vmm_failed', `${disk.path} is locked by the VMM of ${spec.instanceId}`);
      }
    }
  }

  /** The guest of a machine that has booted, for faults inside it. @throws VivError `not_found`. */
  guest(dir: string): SimulatedGuest {
    const guest = this.#guests.get(dir);
    if (guest === undefined) throw new VivError('not_found', `No guest has booted in ${dir}`);
    return guest;
  }

  #makeGuest({ spec, volumes, powerOff, log }: Hardware, memory?: Uint8Array): SimulatedGuest {
    const guest = new SimulatedGuest({
      ...this.#options.guest,
      disks: volumes,
      memory,
      memoryBytes: spec.memoryBytes,
      onPowerOff: powerOff,
      onLog: log,
    });
    this.#guests.set(spec.dir, guest);
    this.onGuest?.(guest, spec.dir);
    return guest;
  }

  /** The VMM that lives, or last lived, in a directory. */
  find(dir: string): SimulatedVmm | undefined {
    return this.#vmms.get(dir);
  }

  /** A launch that never was: nothing is found in the directory any more. */
  forget(dir: string): void {
    this.#vmms.delete(dir);
  }

  /** Every VMM that is alive. */
  alive(): SimulatedVmm[] {
    return [...this.#vmms.values()].filter((vmm) => vmm.exit === undefined);
  }

  /** A VMM dies, by itself or by somebody's hand. @throws VivError `not_found` where none is alive. */
  crash(dir: string, { signal = 'SIGKILL', unobserved = false } = {}): ExitRecord {
    const vmm = this.find(dir);
    if (vmm === undefined || vmm.exit !== undefined)
      throw new VivError('not_found', `No machine is alive in ${dir}`);
    return this.end(vmm, unobserved ? { unobserved } : { signal });
  }

  /** Ends a VMM; the fault `exit.unobserved` hides how. */
  end(vmm: SimulatedVmm, how: { code?: number; signal?: string; unobserved?: boolean }): ExitRecord {
    if (vmm.exit !== undefined) return vmm.exit;
    const hidden = this.faults.take('exit.unobserved', vmm.spec.dir) !== undefined;
    return vmm.end(hidden ? { unobserved: true } : how);
  }

  /** The process that drove the machines is killed: its connections are cut, and what was not detached ends with it. */
  driverProcessDied(): void {
    for (const vmm of this.alive()) {
      if (vmm.spec.detached) vmm.disconnect();
      else vmm.end({ signal: 'SIGKILL' });
    }
    this.ports.forgetListeners();
  }

  /** The host reboots: every VMM is gone and nobody saw it go. */
  reboot(): void {
    for (const vmm of this.alive()) vmm.end({ unobserved: true });
    this.ports.loseAll();
  }
}
