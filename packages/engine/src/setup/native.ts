import { copyFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type NativeBinaries, nativeBinaries, nativeFiles } from './build.ts';
import { SetupError } from './command.ts';
import { fileDigest, keyed } from './keyed.ts';

/** `native/<arch>` of this package: what `npm pack` ships. A checkout has no such directory and builds its own. */
const shipped = path.join(import.meta.dirname, '../../native', process.arch);

const binaries = Object.values(nativeFiles);

/** What came with the published package, copied to `dir`: an update may take the originals away. */
export async function shippedBinaries(dir: string): Promise<NativeBinaries> {
  const inputs: string[] = [];
  for (const name of binaries) {
    inputs.push(
      await fileDigest(path.join(shipped, name)).catch((cause) => {
        throw new SetupError(`This package has no ${name} for ${process.arch}`, {
          exitStatus: 69,
          hint: 'In a checkout of the repository run `./viv setup`, which builds it.',
          cause,
        });
      }),
    );
  }
  const copied = await keyed(dir, 'native', inputs, async (into) => {
    for (const name of binaries) await copyFile(path.join(shipped, name), path.join(into, name));
  });
  const manifest = JSON.parse(await readFile(path.join(import.meta.dirname, '../../package.json'), 'utf8'));
  return nativeBinaries(copied, String(manifest.version));
}
