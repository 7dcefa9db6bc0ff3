import type { Duplex } from 'node:stream';
import { VivError } from '@vivarium/model';
import type {
  Channel,
  DiskGrower,
  DiskLayerer,
  ExitRecord,
  Machine,
  MachineLimits,
  MachineRecord,
  MachineSaver,
  MachineStatus,
  MachineThrottler,
  PortHolder,
  PortTraffic,
  SavedStateManifest,
  SaveTarget,
  VolumeDisk,
  VolumePlugger,
} from '../driver.ts';
import { type Fault, type FaultPointName, injectedError } from './faults.ts';
import type { SimulatedHost } from './host.ts';
import { saveMachine } from './save.ts';
import type { SimulatedVmm } from './vmm.ts';

/** Whoever drives machines step by step: once killed it takes no other step, forward or back. */
export interface DriverProcess {
  killed: boolean;
}

export const never = new Promise<never>(() => undefined);

/** One driver's handle of a simulated machine. */
export class SimulatedMachine
  implements Machine, DiskGrower, DiskLayerer, MachineSaver, MachineThrottler, PortHolder, VolumePlugger
{
  readonly #host: SimulatedHost;
  readonly #vmm: SimulatedVmm;
  readonly #process: DriverProcess;
  readonly #listeners = new Map<(status: MachineStatus) => void, () => void>();
  readonly #streams = new Set<Duplex>();
  #saving = false;

  constructor(host: SimulatedHost, vmm: SimulatedVmm, process: DriverProcess = { killed: false }) {
    this.#host = host;
    this.#vmm = vmm;
    this.#process = process;
  }

  get record(): MachineRecord {
    return this.#vmm.record;
  }

  get exited(): Promise<ExitRecord> {
    return this.#vmm.exited;
  }

  async status(): Promise<MachineStatus> {
    if (this.#vmm.exit !== undefined) return 'exited';
    await this.#meet('status');
    return this.#vmm.status;
  }

  onStatus(listener: (status: MachineStatus) => void): () => void {
    const unsubscribe = this.#vmm.onStatus((status) => {
      if (!this.#saving || status === 'exited') listener(status);
    });
    this.#listeners.set(listener, unsubscribe);
    return () => {
      unsubscribe();
      this.#listeners.delete(listener);
    };
  }

  async pause(): Promise<void> {
    await this.#order('pause');
    this.#vmm.freeze();
  }

  async resume(): Promise<void> {
    await this.#order('resume');
    if (this.#vmm.run()) void bootGuest(this.#host, this.#vmm);
  }

  async powerdown(): Promise<void> {
    const fault = await this.#order('powerdown');
    // Our agent has no use for the button, as in a real guest; a foreign one obeys it, once it runs.
    if (fault?.effect !== 'ignore' && this.#vmm.spec.guest === 'none' && this.#vmm.status === 'running') {
      this.#vmm.guestIsOff();
    }
  }

  async onGuestOff(then: 'exit' | 'keep'): Promise<void> {
    await this.#order('guest-off');
    this.#vmm.setGuestOff(then);
  }

  async growDisk(serial: string, bytes: number): Promise<void> {
    await this.#order('grow-disk');
    const { spec, volumes } = this.#vmm;
    const disk = volumes.get(serial) ?? spec.disks.find((one) => one.serial === serial);
    if (disk === undefined || disk.readOnly || !(bytes > 0)) {
      throw new VivError('vmm_failed', `There is no disk ${serial} that can grow to ${bytes} bytes`);
    }
  }

  async plugVolume(disk: VolumeDisk): Promise<void> {
    await this.#order('plug-volume');
    if (this.#process.killed) await never;
    if (this.#vmm.volumes.has(disk.serial)) return;
    this.#host.lockVolume(disk);
    this.#vmm.plugVolume(disk);
  }

  async unplugVolume(serial: string): Promise<void> {
    await this.#order('unplug-volume');
    if (this.#process.killed) await never;
    this.#vmm.unplugVolume(serial);
  }

  async pluggedVolumes(): Promise<string[]> {
    await this.#order('status');
    return [...this.#vmm.volumes.keys()];
  }

  async addLayer(serial: string, file: string): Promise<void> {
    await this.#order('add-layer');
    this.#vmm.addLayer(serial, file);
  }

  async topLayer(serial: string): Promise<string> {
    await this.#order('top-layer');
    return this.#vmm.topLayer(serial);
  }

  async throttle(limits: MachineLimits): Promise<void> {
    await this.#order('status');
    this.#vmm.limits = limits;
  }

  async traffic(): Promise<PortTraffic[]> {
    await this.#order('status');
    return this.#host.ports.traffic(this.#vmm.spec.dir);
  }

  async holdPorts({ keep }: { keep: boolean }): Promise<PortTraffic[]> {
    await this.#order('status');
    return this.#host.ports.hold(this.#vmm.spec.dir, keep);
  }

  async releasePorts(): Promise<void> {
    await this.#order('status');
    this.#host.ports.letThrough(this.#vmm.spec.dir);
  }

  /** Tells of nothing but the end meanwhile: a save's pause is no pause of the VM. */
  async save(target: SaveTarget): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }> {
    await this.#order('status');
    const before = this.#vmm.status;
    this.#saving = true;
    try {
      return await saveMachine(this.#vmm, target, (point) => this.#saveStep(point, target.signal));
    } finally {
      this.#saving = false;
      const { status, exit } = this.#vmm;
      if (status !== before && exit === undefined) for (const tell of this.#listeners.keys()) tell(status);
    }
  }

  async #saveStep(point: FaultPointName, signal?: AbortSignal): Promise<void> {
    await this.#order(point, signal);
    if (this.#process.killed) await never;
  }

  async kill(): Promise<ExitRecord> {
    if (this.#vmm.exit !== undefined) return this.#vmm.exit;
    await this.#meet('kill');
    return this.#host.end(this.#vmm, { signal: 'SIGKILL' });
  }

  async open(channel: Channel, signal?: AbortSignal): Promise<Duplex> {
    signal?.throwIfAborted();
    await this.#order(`open.${channel}`, signal);
    const stream = this.#vmm.open(channel);
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const unsubscribe of this.#listeners.values()) unsubscribe();
    this.#listeners.clear();
    for (const stream of this.#streams) stream.destroy();
  }

  /** Meets the fault of a point; afterwards the machine is alive. */
  async #order(point: FaultPointName, signal?: AbortSignal): Promise<Fault | undefined> {
    this.#refuseEnded();
    const fault = await this.#meet(point, signal);
    this.#refuseEnded();
    return fault;
  }

  #refuseEnded(): void {
    if (this.#vmm.exit === undefined) return;
    throw new VivError('vmm_failed', `The VMM of ${this.record.instanceId} has ended`, {
      details: { exit: this.#vmm.exit },
    });
  }

  #meet(point: FaultPointName, signal?: AbortSignal): Promise<Fault | undefined> {
    return meetFault(this.#host, this.#vmm, point, { signal, patienceMs: this.#host.answerMs });
  }
}

/**
 * Lets the fault of a point happen. Answers it when it is one that the caller has to play out (`panic`, `ignore`).
 *
 * @throws VivError the injected one; `vmm_failed` where a hang outlasts the patience; the signal's reason.
 */
export async function meetFault(
  host: SimulatedHost,
  vmm: SimulatedVmm,
  point: FaultPointName,
  { signal, patienceMs }: { signal?: AbortSignal; patienceMs?: number } = {},
): Promise<Fault | undefined> {
  const fault = host.faults.take(point, vmm.spec.dir);
  switch (fault?.effect) {
    case undefined:
      return undefined;
    case 'error':
      throw injectedError(point, fault);
    case 'crash':
      host.end(vmm, { signal: fault.signal ?? 'SIGSEGV' });
      return fault;
    case 'delay':
      await passing(fault.milliseconds, [vmm.exited], signal);
      return fault;
    case 'hang': {
      const late = await passing(patienceMs, [vmm.exited, host.faults.cleared], signal);
      if (late)
        throw new VivError('vmm_failed', `The VMM of ${vmm.spec.instanceId} did not answer (${point})`);
      return fault;
    }
    default:
      return fault;
  }
}

/** Waits for the time (for ever without one), or for something to happen before. True when the time has passed. */
export async function passing(
  milliseconds: number | undefined,
  sooner: Promise<unknown>[],
  signal?: AbortSignal,
): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const abort = () => reject(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  const timer = milliseconds === undefined ? undefined : setTimeout(() => resolve(true), milliseconds);
  for (const event of sooner) event.then(() => resolve(false), reject);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** What happens inside, once the vCPUs run: the kernel, then the agent. Foreign guests boot as well, and say nothing. */
export async function bootGuest(host: SimulatedHost, vmm: SimulatedVmm): Promise<void> {
  vmm.print('Linux version 6.1.0 (simulated)\n');
  for (const point of ['boot.kernel', 'boot.init'] as const) {
    const fault = await meetFault(host, vmm, point);
    if (vmm.exit !== undefined) return;
    if (fault?.effect === 'panic') {
      const reason = point === 'boot.kernel' ? 'VFS: Unable to mount root fs' : 'Attempted to kill init!';
      return vmm.panic(fault.message ?? reason);
    }
  }
  if (vmm.spec.guest === 'agent') vmm.boot();
}
