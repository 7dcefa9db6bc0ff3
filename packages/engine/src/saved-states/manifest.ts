import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { SavedState, SavedStateManifest } from '../drivers/driver.ts';

/** Files of a saved state, in its directory: docs/saved-state.md. */
export const stateFiles = {
  manifest: 'manifest.json',
  memory: 'memory',
  delta: 'delta',
  devices: 'devices',
} as const;

const isText = (value: unknown): boolean => typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** What a load goes by; a manifest without one of them was not written by us. */
const required: Readonly<Record<string, (value: unknown) => boolean>> = {
  driver: isText,
  bootId: isText,
  'vmm.version': isText,
  'vmm.machine': isText,
  'vmm.accelerator': isText,
  'vmm.cpu': isText,
  'shape.cpus': isCount,
  'shape.memoryBytes': isCount,
  'shape.devices': (value) => Array.isArray(value) && value.every(isText),
  'boot.kernel': isText,
  'boot.initramfs': isText,
  'guest.generation': isCount,
  'memory.bytes': isCount,
  'memory.digest': isText,
  'devices.bytes': isCount,
  'devices.digest': isText,
  tscKhz: (value) => value === undefined || isCount(value),
  virtio: (value) => value === undefined || value === 'legacy',
  delta: (value) => value === undefined || (isCount(at(value, 'bytes')) && isText(at(value, 'digest'))),
};

/** Makes the directory a saved state. `durable`: all of it is on the disk when this resolves. */
export async function writeManifest(
  dir: string,
  manifest: SavedStateManifest,
  { durable }: { durable: boolean },
): Promise<SavedState> {
  if (durable) {
    const parts = [stateFiles.memory, stateFiles.devices, ...(manifest.delta ? [stateFiles.delta] : [])];
    await Promise.all(parts.map((name) => sync(path.join(dir, name))));
  }
  const temporary = path.join(dir, `.${stateFiles.manifest}`);
  await using file = await open(temporary, 'w', 0o600);
  await file.writeFile(`${JSON.stringify(manifest, undefined, 2)}\n`);
  if (durable) await file.sync();
  await rename(temporary, path.join(dir, stateFiles.manifest));
  if (durable) await sync(dir);
  return { dir, manifest };
}

export async function sync(file: string): Promise<void> {
  await using handle = await open(file, 'r');
  await handle.sync();
}

/** Undefined where the directory, or its manifest, is not there. @throws VivError `saved_state_damaged`. */
export async function readSavedState(dir: string): Promise<SavedState | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(dir, stateFiles.manifest), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  return { dir, manifest: parseManifest(dir, text) };
}

function parseManifest(dir: string, text: string): SavedStateManifest {
  let manifest: SavedStateManifest | null;
  try {
    manifest = JSON.parse(text) as SavedStateManifest | null;
  } catch (cause) {
    throw damaged(dir, 'its manifest is no JSON', cause);
  }
  if (manifest?.format !== 1) {
    throw new VivError('saved_state_mismatch', `The saved state ${dir} has an unknown format`, {
      hint: 'It was made by another version of Vivarium.',
    });
  }
  const wrong = Object.entries(required).find(([place, holds]) => !holds(at(manifest, place)));
  if (wrong !== undefined) throw damaged(dir, `its manifest does not say ${wrong[0]}`);
  return manifest;
}

const at = (value: unknown, place: string): unknown =>
  place
    .split('.')
    .reduce<unknown>((found, name) => (found as Record<string, unknown> | undefined)?.[name], value);

export function damaged(dir: string, why: string, cause?: unknown): VivError {
  return new VivError('saved_state_damaged', `The saved state ${dir} is damaged: ${why}`, {
    hint: 'Start it cold (`viv start --cold`), or restore a snapshot. Nothing was removed.',
    details: { dir },
    cause,
  });
}

export function mismatch(what: string, saved: string, present: string): VivError {
  return new VivError('saved_state_mismatch', `It was saved with ${what} ${saved}; this is ${present}`, {
    hint: 'Start it cold (`viv start --cold`): its disks are used, its memory is given up.',
    details: { what, saved, present },
  });
}
