import { stat } from 'node:fs/promises';
import { VivError } from '@vivarium/model';
import { type AcceleratorVerdict, probeAccelerator } from '../../host/accelerator.ts';
import { findQemu, type QemuInfo } from '../../host/qemu.ts';
import { tscKhz } from '../../host/tsc.ts';
import { keepsTime } from '../../saved-states/clock-rate.ts';
import type {
  Capabilities,
  DormantPorts,
  DormantSpec,
  Driver,
  ExitRecord,
  ExpectedState,
  Machine,
  MachineSpec,
  SavedState,
} from '../driver.ts';
import { adopt } from './adopt.ts';
import { type Accelerator, cmdlineFor, cpuModel } from './command-line.ts';
import { shimDigests } from './digests.ts';
import { launch } from './launch.ts';
import { dormantPorts } from './ports.ts';
import type { ReadMemory } from './save.ts';
import { SpawnedShim, type StartedShim } from './shim-process.ts';
import { checkSpec, maxCpus } from './spec.ts';
import { Zygotes } from './zygotes.ts';

export interface QemuDriverOptions {
  /** The `viv-shim` binary. */
  shimPath: string;
  /** Name or path of QEMU. Default `qemu-system-x86_64` on the search path. */
  qemuPath?: string;
  /** `libviv_zygote.so`, from which on QEMU need not be started anew for each machine while somebody {@link QemuDriver.attend}s. Default: it is. */
  zygotePath?: string;
  /** What runs the vCPUs. Default: KVM where it has been proved to work with the kernel of the first launch, else TCG. */
  accelerator?: Accelerator;
  /**
   * Where that proof is kept for as long as the host is up, and how fast its time stamp counter is. Without it there is no proof, and TCG is
   * used.
   */
  cacheDir?: string;
  /** Default `shim`. `vmm`, for diagnosis: as on a host that lets nobody look into QEMU. */
  readMemory?: ReadMemory;
}

export interface Attendance extends AsyncDisposable {
  /** Once all is there that lets machines start faster. @throws VivError `vmm_missing`, `not_supported`. */
  ready: Promise<void>;
}

/** Machines that are QEMU processes, each below a shim of its own. */
export class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly #options: QemuDriverOptions;
  #probe: Promise<AcceleratorVerdict> | undefined;
  #tscKhz: Promise<number | undefined> | undefined;
  #zygotes: Zygotes | undefined;

  constructor(options: QemuDriverOptions) {
    this.#options = options;
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
      maxCpus,
    };
  }

  async build(boot: MachineSpec['boot']): Promise<string> {
    const qemu = await findQemu(this.#options.qemuPath);
    const accelerator = await this.#accelerator(qemu, boot);
    const { mtimeMs, size } = await stat(qemu.path);
    const own = [accelerator, cpuModel(accelerator), cmdlineFor({ accelerator }), 'virtio legacy'];
    return ['qemu', qemu.version, qemu.machine, mtimeMs, size, ...own].join(' ');
  }

  async keepsTime({ manifest }: SavedState): Promise<boolean> {
    if (manifest.vmm.accelerator !== 'tcg') return true;
    const present = await this.#counterKhz();
    return present === undefined || keepsTime(manifest.tscKhz, present);
  }

  attend(dir: string): Attendance {
    const { shimPath, zygotePath, qemuPath } = this.#options;
    if (zygotePath === undefined)
      return { ready: Promise.resolve(), [Symbol.asyncDispose]: async () => undefined };
    const zygotes = new Zygotes({ shimPath, library: zygotePath, dir });
    this.#zygotes = zygotes;
    const ready = findQemu(qemuPath).then((qemu) => zygotes.begin(qemu));
    // Where there is no QEMU the first launch says so, and where there can be no zygote `viv doctor`.
    ready.catch(() => undefined);
    return { ready, [Symbol.asyncDispose]: () => zygotes[Symbol.asyncDispose]() };
  }

  async launch(
    spec: MachineSpec,
    signal?: AbortSignal,
    from?: SavedState | ExpectedState,
    onReachable?: (machine: Pick<Machine, 'open'>) => void,
  ): Promise<Machine> {
    checkSpec(spec);
    const { shimPath, qemuPath } = this.#options;
    const cancelled = () => {
      if (signal?.aborted)
        throw new VivError('cancelled', 'The launch was cancelled', { cause: signal.reason });
    };
    cancelled();
    const qemu = await findQemu(qemuPath);
    const accelerator = await this.#accelerator(qemu, spec.boot);
    const tscKhz = accelerator === 'tcg' ? await this.#counterKhz() : undefined;
    cancelled();
    const start = (): Promise<StartedShim> => this.#startShim(qemu, spec, signal);
    const context = { shimPath, start, qemu, accelerator, readMemory: this.#readMemory, tscKhz };
    const machine = await launch(spec, context, { signal, from, onReachable });
    this.#zygotes?.watch(machine.exited);
    return machine;
  }

  async #startShim(
    qemu: QemuInfo,
    { dir, detached }: MachineSpec,
    signal?: AbortSignal,
  ): Promise<StartedShim> {
    const forked = await this.#zygotes?.shim(qemu, dir, detached, signal);
    return forked ?? SpawnedShim.spawn(this.#options.shimPath, dir, detached);
  }

  adopt(dir: string): Promise<Machine | ExitRecord | undefined> {
    return adopt(dir, { digests: shimDigests(this.#options.shimPath), readMemory: this.#readMemory });
  }

  dormantPorts(dir: string, spec: DormantSpec): Promise<DormantPorts> {
    return dormantPorts(this.#options.shimPath, dir, spec);
  }

  get #readMemory(): ReadMemory {
    return this.#options.readMemory ?? 'shim';
  }

  /** Asked once: the first launch waits for the proof, and a failed probe is tried again by the next. */
  async #accelerator(qemu: QemuInfo, boot: MachineSpec['boot']): Promise<Accelerator> {
    const { accelerator, cacheDir } = this.#options;
    if (accelerator) return accelerator;
    if (!this.#probe && cacheDir && boot.kind === 'direct') {
      this.#probe = probeAccelerator({ qemu, kernel: boot.kernel, cacheDir });
      this.#probe.catch(() => {
        this.#probe = undefined;
      });
    }
    return (await this.#probe)?.accelerator ?? 'tcg';
  }

  /** Measured once, and again after a failure. */
  #counterKhz(): Promise<number | undefined> {
    this.#tscKhz ??= tscKhz(this.#options.shimPath, this.#options.cacheDir).catch((error: unknown) => {
      this.#tscKhz = undefined;
      throw error;
    });
    return this.#tscKhz;
  }
}
