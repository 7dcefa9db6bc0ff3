import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DiskSpec } from '@vivarium/engine';
import { createRootDisk } from '../../packages/engine/src/disks/index.ts';
import { connectGuest } from '../../packages/engine/src/guest/index.ts';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import { cmdline } from '../../packages/engine/src/instances/machine-spec.ts';
import { UserNetwork } from '../../packages/engine/src/network/user.ts';
import { RawMachine } from './raw-machine.ts';

const MiB = 2 ** 20;

/** Raw QEMU from its spawn to the first byte that the image's command prints: same kernel, initramfs, disks and card. */
export async function rawBootToOutput(
  layers: { disk: DiskSpec; layers: number },
  argv: string[],
): Promise<number> {
  const assets = await loadAssets();
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-boot-'));
  try {
    const disk = path.join(dir, 'root.qcow2');
    await createRootDisk({ path: disk, bases: path.join(tmpdir(), 'viv-floor-bases'), bytes: 10_240 * MiB });
    const nic = new UserNetwork().allocate('floor', []);
    const began = performance.now();
    await using machine = await RawMachine.launch({
      cpus: 1,
      memoryBytes: 256 * MiB,
      boot: {
        kind: 'direct',
        kernel: assets.kernel.path,
        initramfs: assets.initramfs.path,
        cmdline,
      },
      guest: 'agent',
      disks: [
        { ...layers.disk, serial: 'layers' },
        { serial: 'root', path: disk, format: 'qcow2', readOnly: false },
      ],
      nic,
      publish: [],
      run: true,
      detached: false,
      logs: { maxBytes: MiB, keep: 1 },
    });
    await using guest = await connectGuest((channel) => machine.open(channel));
    await guest.configure({
      hostname: 'floor',
      machineId: randomBytes(16).toString('hex'),
      generation: 1,
      entropy: randomBytes(256),
      clockNanos: BigInt(Date.now()) * 1_000_000n,
      network: {
        mac: nic.mac,
        address: `${nic.backend.ip}/28`,
        gateway: nic.backend.gateway,
        dns: [nic.backend.dns],
      },
      root: { layers: layers.layers, layersSerial: 'layers', overlaySerial: 'root' },
    });
    await guest.startWorkload({
      id: 'root',
      argv,
      env: {},
      cwd: '/',
      user: '',
      stdin: 'null',
      output: 'retain',
    });
    const session = await guest.resumeExec('workload:root');
    for await (const _ of session.output) return performance.now() - began;
    throw new Error('The command printed nothing');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
