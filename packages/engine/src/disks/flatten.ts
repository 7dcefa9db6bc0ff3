import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { isLayerName, newLayerName, rootNames } from './chain.ts';
import { commitLayer, nameTop, prepareLayer, selfContained, tidy } from './layers.ts';
import { planMerge } from './merge-plan.ts';
import { writeEmptyQcow2 } from './qcow2.ts';
import { runTool, whereInUse } from './qemu-img.ts';

/**
 * Merges what is in the layers of a stopped disk into one, below a fresh top, where there are more than eight below its
 * top. What is merged stays as it is for others that share it, and so do the large layers at the bottom ({@link planMerge}).
 *
 * @param options.maxLayers Default 8.
 * @returns whether anything was done.
 * @throws VivError `busy` where a VMM has it open, `disk_full`, `cancelled`.
 */
export async function flattenRoot(
  dir: string,
  options: { maxLayers?: number; signal?: AbortSignal } = {},
): Promise<boolean> {
  const { layers } = await selfContained(dir);
  const plan = await planMerge(dir, options.maxLayers);
  if (plan === undefined) return false;
  const name = newLayerName();
  const file = path.join(dir, name);
  try {
    const backing = { name: await nameTop(dir), format: 'qcow2' } as const;
    await writeEmptyQcow2(file, { bytes: layers[0].header.bytes, backing, durable: false });
    const format = isLayerName(plan.base) ? 'qcow2' : 'raw';
    // Reads only what is allocated above the layer it is put on.
    const argv = ['rebase', '-q', '-f', 'qcow2', '-F', format, '-b', plan.base, name];
    await runTool('qemu-img', argv, options.signal, dir);
    await using handle = await open(file, 'r+');
    await handle.sync();
    await handle.chmod(0o400);
    await prepareLayer(dir, { bytes: layers[0].header.bytes, backing: { name, format: 'qcow2' } });
  } catch (error) {
    await rm(file, { force: true });
    throw whereInUse(error, path.join(dir, rootNames.top));
  }
  await commitLayer(dir);
  await tidy(dir);
  return true;
}
