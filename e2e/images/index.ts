import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { keyed } from '../../packages/engine/src/setup/keyed.ts';
import { underLock } from '../../packages/engine/src/setup/lock.ts';
import { writeOciArchive } from '../../packages/engine/src/setup/oci-archive.ts';
import { recipeInputs, recipes, type TestImage } from './recipes.ts';

export type { TestImage } from './recipes.ts';

const cache = path.resolve(import.meta.dirname, '../../.viv/test-images');

/**
 * The path of a test image as an OCI archive, built on first use and kept in `.viv/test-images` until its recipe changes. Its
 * reference inside is `docker.io/library/<name>:test`.
 */
export async function testImage(name: TestImage): Promise<string> {
  const recipe = recipes[name];
  const build = async (into: string): Promise<void> => {
    const layers = await recipe.layers(into);
    const archive = `${name}.tar`;
    await writeOciArchive(path.join(into, archive), {
      reference: `docker.io/library/${name}:test`,
      layers,
      config: recipe.config,
    });
    const rest = (await readdir(into)).filter((file) => file !== archive);
    await Promise.all(rest.map((file) => rm(path.join(into, file), { recursive: true })));
  };
  const inputs = await recipeInputs(name);
  const built = await underLock(
    path.join(cache, `${name}.lock`),
    () => undefined,
    () => keyed(cache, name, inputs, build),
  );
  return path.join(built, `${name}.tar`);
}
