import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type CpioEntry, characterDevice, cpio, directory, file } from './cpio.ts';
import type { Kernel } from './kernel.ts';
import { fileDigest, keyed } from './keyed.ts';

const modulesDir = 'lib/modules';

async function entries(agent: string, kernel: Kernel): Promise<CpioEntry[]> {
  const modules = await Promise.all(
    kernel.modules.map(async ({ name, file: from }) =>
      file(`${modulesDir}/${name}.ko`, await readFile(from)),
    ),
  );
  const order = kernel.modules.map(({ name }) => `/${modulesDir}/${name}.ko\n`).join('');
  return [
    ...['dev', 'lib', modulesDir, 'proc', 'run', 'sys'].map((name) => directory(name)),
    directory('tmp', 0o1777),
    // The kernel opens it for init's standard streams before init can make one.
    characterDevice('dev/console', 5, 1),
    file('init', await readFile(agent), 0o755),
    file(`${modulesDir}/load.list`, Buffer.from(order)),
    ...modules,
  ];
}

/**
 * The initramfs: the agent as `/init`, kernel modules under `/lib/modules`, and `/lib/modules/load.list` with their
 * absolute paths in the order they are loaded. It is not compressed: unpacking would cost the guest more than reading.
 */
export async function buildInitramfs(dir: string, agent: string, kernel: Kernel): Promise<string> {
  const modules = await Promise.all(
    kernel.modules.map(async ({ name, file: from }) => [name, await fileDigest(from)]),
  );
  const inputs = { version: 1, agent: await fileDigest(agent), modules };
  const built = await keyed(dir, 'initramfs', inputs, async (into) => {
    await writeFile(path.join(into, 'initramfs.cpio'), cpio(await entries(agent, kernel)));
  });
  return path.join(built, 'initramfs.cpio');
}
