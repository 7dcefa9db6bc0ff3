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
import { checkSpec, maxCpus } from './spec.ts';

export interface QemuDriverOptions {
  /** The `viv-shim` binary. */
  shimPath: string;
  /** Name or path of QEMU. Default `qemu-system-x86_64` on the search path. */
  qemuPath?: string;
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

/** Machines that are QEMU processes, each below a shim of its own. */
export class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly #options: QemuDriverOptions;
  #probe: Promise<AcceleratorVerdict> | undefined;
  #tscKhz: Promise<number | undefined> | undefined;

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
    const own = [accelerator, cpuModel(accelerator), cmdlineFor({ accelerator })];
    return ['qemu', qemu.version, qemu.machine, mtimeMs, size, ...own].join(' ');
  }

  async keepsTime({ manifest }: SavedState): Promise<boolean> {
    if (manifest.vmm.accelerator !== 'tcg') return true;
    const present = await this.#counterKhz();
    return present === undefined || keepsTime(manifest.tscKhz, present);
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
    const context = { shimPath, qemu, accelerator, readMemory: this.#readMemory, tscKhz };
    return launch(spec, context, { signal, from, onReachable });
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
