import { probeAccelerator } from '../accelerator.ts';
import { loadAssets } from '../assets.ts';
import type { HostCheck } from '../doctor.ts';
import { findQemu } from '../qemu.ts';

/** Software emulation works, only slower: worth a warning, never a failure. */
export async function checkAccelerator(options: {
  assets: string;
  cacheDir: string;
  qemuPath?: string;
}): Promise<HostCheck> {
  const qemu = await findQemu(options.qemuPath);
  const { kernel } = await loadAssets(options.assets);
  const { accelerator, reason } = await probeAccelerator({
    qemu,
    kernel: kernel.path,
    cacheDir: options.cacheDir,
  });
  const name = 'accelerator';
  if (accelerator === 'kvm') return { name, status: 'ok', message: reason };
  return {
    name,
    status: 'warning',
    message: reason,
    hint: 'VMs work without KVM; with it they are several times faster.',
  };
}
