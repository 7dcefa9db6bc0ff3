import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Results nobody refers to any more are kept for a day: a daemon that was started before the rebuild still uses them. */
const keepMilliseconds = 24 * 3600 * 1000;

/** `sha256:` and hex, of a file. */
export async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}

/** Hex SHA-256 of plain data. */
export function inputsDigest(inputs: unknown): string {
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex');
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/**
 * A directory of build results named after everything that went into it: `<dir>/<name>-<12 hex digits>`. It appears by rename
 * when it is complete and never changes afterwards, so an interrupted build leaves nothing that could be mistaken for one.
 */
export async function keyed(
  dir: string,
  name: string,
  inputs: unknown,
  build: (into: string) => Promise<void>,
): Promise<string> {
  const result = path.join(dir, `${name}-${inputsDigest(inputs).slice(0, 12)}`);
  if (await exists(result)) return result;
  const temporary = path.join(dir, `.tmp-${name}-${process.pid}`);
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    await build(temporary);
    await rename(temporary, result);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return result;
}

/** Removes what interrupted builds left, and results that are unused and a day old. */
export async function prune(dir: string, used: readonly string[]): Promise<void> {
  const keep = new Set(used.map((file) => path.relative(dir, file).split(path.sep)[0]));
  for (const entry of await readdir(dir)) {
    const abandoned = entry.startsWith('.tmp-');
    const result = /^[a-z]+-[0-9a-f]{12}$/.test(entry) && !keep.has(entry);
    if (!abandoned && !result) continue;
    const file = path.join(dir, entry);
    if (abandoned || Date.now() - (await stat(file)).mtimeMs > keepMilliseconds) {
      await rm(file, { recursive: true, force: true });
    }
  }
}
