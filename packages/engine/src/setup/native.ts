import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { NativeBinaries } from './build.ts';
import { SetupError } from './command.ts';

/** `native/<arch>` of this package: what `npm pack` ships. A checkout has no such directory and builds its own. */
const shipped = path.join(import.meta.dirname, '../../native', process.arch);

/** The agent and the shim that came with the published package. */
export async function shippedBinaries(): Promise<NativeBinaries> {
  const agent = path.join(shipped, 'viv-agent');
  const shim = path.join(shipped, 'viv-shim');
  for (const file of [agent, shim]) {
    await stat(file).catch((cause) => {
      throw new SetupError(`This package has no ${path.basename(file)} for ${process.arch}`, {
        exitStatus: 69,
        hint: 'In a checkout of the repository run `./viv setup`, which builds it.',
        cause,
      });
    });
  }
  const manifest = JSON.parse(await readFile(path.join(import.meta.dirname, '../../package.json'), 'utf8'));
  return { agent, shim, version: String(manifest.version) };
}
