import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRootDisk } from '../../disks/index.ts';
import { connectGuest } from '../../guest/index.ts';
import { type Assets, assetsDir, loadAssets } from '../../host/assets.ts';
import { cpio, directory, file } from '../../setup/cpio.ts';
import type { ConformanceContext } from '../conformance/bench.ts';
import type { DiskSpec, MachineSpec } from '../driver.ts';
import { QemuDriver, type QemuDriverOptions } from './driver.ts';

/** For tests with real VMs: machines of the smallest useful size, in directories below one that is removed at the end. */
export class RealMachines implements ConformanceContext {
  readonly driver: QemuDriver;
  readonly bootTimeoutMs = 60_000;
  readonly home: string;
  /** Where what the driver keeps running has its files. */
  readonly #attended: string;
  #attendance: AsyncDisposable | undefined;
  readonly assets: Assets;
  readonly counter = [
    ...['/bin/busybox', 'sh', '-c'],
    'n=0; while read -r line; do n=$((n + 1)); echo $n; done',
  ];
  #withShell: Promise<string> | undefined;
  #count = 0;

  private constructor(home: string, attended: string, assets: Assets) {
    this.home = home;
    this.#attended = attended;
    this.assets = assets;
    this.driver = this.restarted();
  }

  /** The machines of its {@link driver} are made of a zygote, those of {@link restarted} ones are not. */
  static async open(): Promise<RealMachines> {
    const [home, attended] = await Promise.all([temporary(), temporary()]);
    const machines = new RealMachines(home, attended, await loadAssets());
    const attendance = machines.driver.attend(attended);
    machines.#attendance = attendance;
    await attendance.ready;
    return machines;
  }

  readonly connectGuest = connectGuest;

  /** Always TCG: the same on every host. */
  restarted(options: Partial<QemuDriverOptions> = {}): QemuDriver {
    const { shim, zygote } = this.assets;
    return new QemuDriver({
      shimPath: shim.path,
      zygotePath: zygote.path,
      accelerator: 'tcg',
      ...options,
    });
  }

  async volume(): Promise<Omit<DiskSpec, 'serial' | 'unit'>> {
    this.#count += 1;
    const file = path.join(this.home, `volume${this.#count}.qcow2`);
    await createRootDisk({ path: file, bases: path.join(this.home, 'bases'), bytes: 64 * 2 ** 20 });
    return { path: file, format: 'qcow2', readOnly: false };
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
      boot: {
        kind: 'direct',
        kernel: this.assets.kernel.path,
        initramfs: this.assets.initramfs.path,
        cmdline: 'console=ttyS0 panic=-1 reboot=t',
      },
      guest: 'agent',
      disks: [],
      publish: [],
      run: true,
      detached: true,
      logs: { maxBytes: 1024 * 1024, keep: 1 },
      ...overrides,
    };
  }

  /** With busybox in its initramfs: there is a shell without any disk. */
  async countingSpec(): Promise<MachineSpec> {
    this.#withShell ??= this.#addShell();
    const spec = await this.spec();
    if (spec.boot.kind === 'direct') spec.boot.initramfs = await this.#withShell;
    return spec;
  }

  async #addShell(): Promise<string> {
    const names = await readdir(assetsDir());
    const busybox = names.find((name) => name.startsWith('busybox-'));
    if (busybox === undefined) throw new Error('set-up has left no busybox');
    const program = await readFile(path.join(assetsDir(), busybox, 'busybox'));
    const more = cpio([directory('bin'), file('bin/busybox', program, 0o755)]);
    const initramfs = path.join(this.home, 'initramfs-with-shell.cpio');
    await writeFile(initramfs, Buffer.concat([await readFile(this.assets.initramfs.path), more]));
    return initramfs;
  }

  /** Processes that work in one of the directories, and sockets that lie there. */
  async leftovers(): Promise<string[]> {
    return [...(await this.#processes()), ...(await this.#sockets())].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#attendance?.[Symbol.asyncDispose]();
    for (const dir of [this.home, this.#attended]) await rm(dir, { recursive: true, force: true });
  }

  async #processes(): Promise<string[]> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(
      pids.map(async (pid) => {
        const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => ''); // it has ended since, or is not ours
        return cwd.startsWith(`${this.home}/`) ? [`process in ${path.basename(cwd)}`] : [];
      }),
    );
    return found.flat();
  }

  async #sockets(): Promise<string[]> {
    const entries = await readdir(this.home, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isSocket())
      .map((entry) => path.join(entry.parentPath, entry.name));
  }
}

const temporary = () => mkdtemp(path.join(tmpdir(), 'viv-qemu-'));
