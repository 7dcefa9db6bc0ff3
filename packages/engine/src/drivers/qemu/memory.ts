import { access, chmod, constants, link, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { stateFiles } from '../../saved-states/manifest.ts';
import type { Inherited, MachineSpec, SavedStateManifest } from '../driver.ts';

/**
 * Names that a machine's directory gives to memory files. `base`: what QEMU has mapped below what the guest has written
 * since. `last`: what was saved last, or restored from; the next save may be a delta to it.
 */
export const memoryFiles = { base: 'memory.base', last: 'memory.last' } as const;

/** Of a machine, as it is written into the manifest of a saved state. */
export interface SavedShape extends Inherited {
  cpus: number;
  memoryBytes: number;
  devices: string[];
  cpu: string;
  boot: SavedStateManifest['boot'];
}

/** `disk:<serial>` in order, then `nic`. Volumes come and go: those of the moment are asked for when it is saved. */
export function devicesOf(spec: Pick<MachineSpec, 'disks' | 'nic'>): string[] {
  const fixed = spec.disks.filter(({ unit }) => unit === undefined);
  return [...fixed.map(({ serial }) => `disk:${serial}`), ...(spec.nic ? ['nic'] : [])];
}

/** As a volume is called among the devices of a saved state. */
export const volumeName = (serial: string): string => `volume:${serial}`;

/** Gives the machine's directory names of its own for the memory of a saved state that it starts from. */
export async function placeMemory(dir: string, stateDir: string | undefined): Promise<void> {
  const names = Object.values(memoryFiles).map((name) => path.join(dir, name));
  if (stateDir === undefined) {
    await Promise.all(names.map((name) => rm(name, { force: true })));
    return;
  }
  const [base, last] = [path.join(dir, memoryFiles.base), path.join(dir, memoryFiles.last)];
  // Once: where it is still being saved it may be another file the next time.
  await replaceLink(path.join(stateDir, stateFiles.memory), base);
  await letOpen(base);
  await replaceLink(base, last);
}

/** QEMU 7.2 opens what it maps privately for writing too, and refuses where it may not: all but root may not at 0400. It never writes to it. */
async function letOpen(memory: string): Promise<void> {
  try {
    await access(memory, constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    await chmod(memory, 0o600);
  }
}

/** The name is another one of the file's from here on. */
export async function replaceLink(file: string, name: string): Promise<void> {
  await rm(name, { force: true });
  await link(file, name);
}

export async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
