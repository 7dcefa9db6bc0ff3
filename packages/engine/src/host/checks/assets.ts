import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type AssetFile, loadAssets } from '../assets.ts';
import type { HostCheck } from '../doctor.ts';

/** Reads every file that set-up has built, and compares it with the digest it was recorded with. */
export async function checkAssets(dir: string): Promise<HostCheck> {
  const { kernel, initramfs, agent, shim, zygote, images } = await loadAssets(dir);
  const files: [string, AssetFile][] = [
    ...Object.entries({ kernel, initramfs, agent, shim, zygote }),
    ...Object.entries(images),
  ];
  const problems = await Promise.all(files.map(([what, file]) => problemWith(what, file)));
  const wrong = problems.filter((problem) => problem !== undefined);
  const name = 'assets';
  if (wrong.length === 0)
    return { name, status: 'ok', message: `Linux ${kernel.version}, agent ${agent.version}, in ${dir}` };
  return { name, status: 'failed', message: wrong.join('; '), hint: 'Run `viv setup` again.' };
}

async function problemWith(what: string, file: AssetFile): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file.path), hash);
  } catch (error) {
    return `${what}: ${(error as Error).message}`;
  }
  return `sha256:${hash.digest('hex')}` === file.digest
    ? undefined
    : `${what}: ${file.path} has been changed`;
}
