import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { newLayerName, rootNames } from './chain.ts';
import { commitLayer, nameTop, prepareLayer, selfContained, tidy } from './layers.ts';
import { writeEmptyQcow2 } from './qcow2.ts';
import { runTool, whereInUse } from './qemu-img.ts';

/** Each layer is an open file of the VMM, and one more table to look into for what it does not have. */
const maxLayers = 8;

/**
 * Merges all that is in the layers of a stopped disk into one, below a fresh top, where there are more than eight below its
 * top. What is merged stays as it is for others that share it.
 *
 * @param options.keep So many of the lowest layers stay below, since sharing them is worth more. Default 0.
 * @param options.maxLayers Default 8.
 * @returns whether anything was done.
 * @throws VivError `busy` where a VMM has it open, `disk_full`, `cancelled`.
 */
export async function flattenRoot(
  dir: string,
  options: { keep?: number; maxLayers?: number; signal?: AbortSignal } = {},
): Promise<boolean> {
  const { layers, base = '' } = await selfContained(dir);
  const under = layers.slice(1);
  if (under.length <= (options.maxLayers ?? maxLayers)) return false;
  const kept = under.slice(Math.max(0, under.length - (options.keep ?? 0)))[0]?.name;
  const name = newLayerName();
  const file = path.join(dir, name);
  try {
    const backing = { name: await nameTop(dir), format: 'qcow2' } as const;
    await writeEmptyQcow2(file, { bytes: layers[0].header.bytes, backing, durable: false });
    const format = kept ? 'qcow2' : 'raw';
    // Reads only what is allocated above the layer it is put on.
    const argv = ['rebase', '-q', '-f', 'qcow2', '-F', format, '-b', kept ?? base, name];
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
