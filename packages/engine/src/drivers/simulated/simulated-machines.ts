import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectGuest } from '../../guest/index.ts';
import type { ConformanceContext } from '../conformance/bench.ts';
import type { DiskSpec, MachineSpec } from '../driver.ts';
import { SimulatedDriver } from './driver.ts';
import type { Program } from './guest/index.ts';
import { SimulatedHost, type SimulatedHostOptions } from './host.ts';

/** Answers each line with how many there were. */
export const counter: Program = async (io) => {
  let lines = 0;
  for (let chunk = await io.read(); chunk !== undefined; chunk = await io.read()) {
    for (const byte of chunk) if (byte === 0x0a) await io.out(`${++lines}\n`);
  }
  return 0;
};

/** For tests: a simulated host, a driver on it, and machines in directories below one that is removed at the end. */
export class SimulatedMachines implements ConformanceContext {
  readonly host: SimulatedHost;
  readonly driver: SimulatedDriver;
  readonly connectGuest = connectGuest;
  readonly bootTimeoutMs = 5000;
  readonly home: string;
  readonly counter = ['counter'];
  #count = 0;

  private constructor(home: string, options: SimulatedHostOptions) {
    this.home = home;
    const programs = { counter, ...options.guest?.programs };
    this.host = new SimulatedHost({ ...options, guest: { ...options.guest, programs } });
    this.driver = this.restarted();
  }

  static async open(options: SimulatedHostOptions = {}): Promise<SimulatedMachines> {
    return new SimulatedMachines(await mkdtemp(path.join(tmpdir(), 'viv-simulated-')), options);
  }

  restarted(): SimulatedDriver {
    return new SimulatedDriver(this.host);
  }

  countingSpec(): Promise<MachineSpec> {
    return this.spec();
  }

  async volume(): Promise<Omit<DiskSpec, 'serial' | 'unit'>> {
    this.#count += 1;
    return { path: path.join(this.home, `volume${this.#count}.qcow2`), format: 'qcow2', readOnly: false };
  }

  async spec(overrides: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    this.#count += 1;
    const instanceId = `m${this.#count}`;
    const dir = path.join(this.home, instanceId);
    await mkdir(dir, { mode: 0o700 });
    return {
      instanceId,
      dir,
      cpus: 1,
      memoryBytes: 256 * 2 ** 20,
      boot: { kind: 'direct', kernel: '/kernel', initramfs: '/initramfs', cmdline: '' },
      guest: 'agent',
      disks: [],
      publish: [],
      run: true,
      detached: true,
      logs: { maxBytes: 1024 * 1024, keep: 1 },
      ...overrides,
    };
  }

  async leftovers(): Promise<string[]> {
    return this.host.alive().map(({ spec }) => `machine ${spec.instanceId}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { spec } of this.host.alive()) this.host.crash(spec.dir);
    await rm(this.home, { recursive: true, force: true });
  }
}
