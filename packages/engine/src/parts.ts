import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import type { DoctorReport } from '@vivarium/model';
import type { Config } from './config/index.ts';
import {
  abandonLayer,
  commitLayer,
  createRootDisk,
  dropTop,
  flattenRoot,
  growRootDisk,
  isTopNew,
  newLayerFor,
  planMerge,
  settleLayer,
  shareLayers,
} from './disks/index.ts';
import type { Driver } from './drivers/driver.ts';
import { QemuDriver } from './drivers/qemu/index.ts';
import { SimulatedDriver, SimulatedHost } from './drivers/simulated/index.ts';
import { assetsDir, loadAssets } from './host/assets.ts';
import { Cgroups } from './host/cgroups/index.ts';
import { hostChecks } from './host/doctor.ts';
import { createImageStore } from './images/index.ts';
import { SimulatedImages } from './images/simulated.ts';
import type { ImageStore } from './images/store.ts';
import type { RootDisks } from './instances/context.ts';
import type { BootFiles } from './instances/machine-spec.ts';
import type { NetworkBackend } from './network/network.ts';
import { UserNetwork } from './network/user.ts';
import type { PoolClock } from './pools/index.ts';
import { boundlessGauge, type HostGauge } from './resources/gauge.ts';

/** What an engine is put together from, beside its data directory. */
export interface Parts {
  driver: Driver;
  images: ImageStore;
  disks: RootDisks;
  network: NetworkBackend;
  boot: BootFiles;
  doctor(home: string): Promise<DoctorReport['checks']>;
  /** What this host has. Default: this very host. */
  gauge?: HostGauge;
  /** Where VMMs are put that have limits of the host. Default: nowhere. */
  cgroups?: Cgroups;
  /** Default: what `config.json` in the data directory says. */
  config?: Config;
  /** What restart policies, health checks and expiries go by. Default: the host's own. */
  clock?: PoolClock;
  /** This boot of the host. Default: what its kernel says. */
  bootId?: () => Promise<string>;
  /** What pools and standby go by. Default: the host's own. */
  poolClock?: PoolClock;
}

/** Real VMs. @throws VivError `assets_missing`. */
export async function qemuParts(home: string, config: Pick<Config, 'vmm.zygote'>): Promise<Parts> {
  const assets = await loadAssets();
  const bases = path.join(home, 'disks');
  return {
    driver: new QemuDriver({
      shimPath: assets.shim.path,
      ...(config['vmm.zygote'] === 'on' ? { zygotePath: assets.zygote.path } : {}),
      cacheDir: path.join(assetsDir(), 'probe'),
    }),
    images: await createImageStore({ dir: path.join(home, 'images'), builtin: assets.images }),
    disks: {
      path: rootDiskPath,
      create: async (dir, bytes, signal) => {
        await createRootDisk({ path: rootDiskPath(dir), bytes, bases, signal });
      },
      grow: async (dir, bytes) => {
        await growRootDisk(rootDiskPath(dir), bytes);
      },
      newLayer: newLayerFor,
      isTopNew,
      commitLayer,
      abandonLayer,
      settleLayer,
      dropTop,
      planMerge,
      flatten: async (dir, signal) => {
        await flattenRoot(dir, { signal });
      },
      copy: (from, to, { prepared } = {}) => shareLayers(from, to, { top: prepared ? 'prepared' : 'new' }),
    },
    network: new UserNetwork(),
    cgroups: new Cgroups(),
    boot: {
      kernel: assets.kernel.path,
      initramfs: assets.initramfs.path,
      digests: { kernel: assets.kernel.digest, initramfs: assets.initramfs.digest },
    },
    doctor: (dataDirectory) => hostChecks({ home: dataDirectory }),
  };
}

/** VMs that exist in memory only: for tests of everything around them, and of ten thousand at once. */
export async function simulatedParts(
  driver: Driver = new SimulatedDriver(new SimulatedHost({ logs: 'none' })),
): Promise<Parts> {
  return {
    driver,
    images: new SimulatedImages(),
    disks: {
      path: rootDiskPath,
      create: async () => undefined,
      grow: async () => undefined,
      newLayer: async (dir) => ({ next: path.join(dir, 'root.next.qcow2') }),
      isTopNew: async () => false,
      commitLayer: async () => undefined,
      abandonLayer: async () => undefined,
      settleLayer: async () => undefined,
      dropTop: async () => undefined,
      planMerge: async () => undefined,
      flatten: async () => undefined,
      copy: copySimulated,
    },
    network: new UserNetwork(),
    gauge: boundlessGauge,
    boot: {
      kernel: '/simulated/kernel',
      initramfs: '/simulated/initramfs',
      digests: { kernel: 'sha256:simulated', initramfs: 'sha256:simulated' },
    },
    doctor: async () => [
      { name: 'driver', status: 'warning', message: 'VMs are simulated; nothing of this host is used' },
    ],
  };
}

function rootDiskPath(dir: string): string {
  return path.join(dir, 'root.qcow2');
}

/** Simulated guests keep what is in a volume in a file at the path of its disk; other disks are none. */
async function copySimulated(from: string, to: string): Promise<void> {
  const file = rootDiskPath(from);
  if (existsSync(file)) await copyFile(file, rootDiskPath(to));
}
