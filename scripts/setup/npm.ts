import { readFile } from 'node:fs/promises';
import path from 'node:path';

interface Lock {
  packages: Record<string, { version?: string; optional?: boolean; link?: boolean }>;
}

async function readLock(file: string): Promise<Lock | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Lock;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * True where node_modules holds what package-lock.json says. npm writes node_modules/.package-lock.json when an
 * installation is complete, and leaves out of it the optional packages for other platforms.
 */
export async function isInstalledAsLocked(root: string): Promise<boolean> {
  const wanted = await readLock(path.join(root, 'package-lock.json'));
  const have = await readLock(path.join(root, 'node_modules/.package-lock.json'));
  if (!wanted || !have) return false;
  return Object.entries(wanted.packages)
    .filter(([name, entry]) => name.startsWith('node_modules/') && !entry.optional)
    .every(([name, entry]) => {
      const found = have.packages[name];
      return (
        found !== undefined && found.version === entry.version && Boolean(found.link) === Boolean(entry.link)
      );
    });
}
