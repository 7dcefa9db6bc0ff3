import path from 'node:path';
import { type DoctorReport, VivError } from '@vivarium/model';
import { assetsDir } from './assets.ts';
import { checkAccelerator } from './checks/accelerator.ts';
import { checkAssets } from './checks/assets.ts';
import { checkCgroups, checkDiskSpace, checkMemory } from './checks/capacity.ts';
import { checkNode, checkQemu, toolChecks } from './checks/programs.ts';
import { checkSavedMemory } from './checks/saved-memory.ts';
import { checkZygote } from './checks/zygote.ts';

export type HostCheck = DoctorReport['checks'][number];

/** Where the checks look. */
export interface HostCheckOptions {
  /** The data directory. It need not exist yet. */
  home: string;
  /** What set-up has built. Default {@link assetsDir}. */
  assets?: string;
  /** Name or path of QEMU. Default `qemu-system-x86_64`. */
  qemuPath?: string;
  /** Where the proof of KVM is kept. Default `probe` below the assets. */
  cacheDir?: string;
}

/**
 * What this host can do and what stands in the way, in the order in which a person would fix it. A check that itself
 * goes wrong is a failed check; none of them throws. The first time on a host with `/dev/kvm` it boots a guest to prove it.
 */
export async function hostChecks(options: HostCheckOptions): Promise<HostCheck[]> {
  const assets = options.assets ?? assetsDir();
  const cacheDir = options.cacheDir ?? path.join(assets, 'probe');
  const checks: [name: string, check: () => HostCheck | Promise<HostCheck>][] = [
    ['node', () => checkNode()],
    ['qemu', () => checkQemu(options.qemuPath)],
    ['accelerator', () => checkAccelerator({ assets, cacheDir, qemuPath: options.qemuPath })],
    ['assets', () => checkAssets(assets)],
    ...toolChecks,
    ['disk space', () => checkDiskSpace(options.home)],
    ['memory', () => checkMemory()],
    ['cgroups', () => checkCgroups()],
    ['saved memory', () => checkSavedMemory(options.home)],
    ['zygote', () => checkZygote({ assets, qemuPath: options.qemuPath })],
  ];
  return Promise.all(checks.map(([name, check]) => guarded(name, check)));
}

async function guarded(name: string, check: () => HostCheck | Promise<HostCheck>): Promise<HostCheck> {
  try {
    return await check();
  } catch (error) {
    const { message, hint } = VivError.from(error);
    return { name, status: 'failed', message, ...(hint === undefined ? {} : { hint }) };
  }
}
