import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { SavedState } from '../drivers/driver.ts';
import { bootId } from '../host/identity.ts';
import { damaged, stateFiles } from './manifest.ts';

/** XXH3 digests of files, as docs/saved-state.md has them, in the order asked for. */
export type Digests = (files: readonly string[]) => Promise<{ bytes: number; digest: string }[]>;

interface Expected {
  name: string;
  bytes: number;
  digest: string;
}

/**
 * Believes a saved state or not. Memory that is the very file that was saved, unchanged, in the same boot of the host is not
 * read again: that is what makes a start fast.
 *
 * @throws VivError `saved_state_damaged`.
 */
export async function checkFiles(state: SavedState, digests: Digests): Promise<void> {
  const { dir, manifest } = state;
  const { memory, delta, devices } = manifest;
  const small: Expected[] = [{ name: stateFiles.devices, ...devices }];
  if (delta !== undefined) small.push({ name: stateFiles.delta, ...delta });
  const untouched = await isAsSaved(state);
  if (untouched) remember(`${memory.inode} ${memory.mtimeNs} ${memory.bytes}`, memory.digest);
  await compare(dir, untouched ? small : [...small, { name: stateFiles.memory, ...memory }], digests);
}

/** Why a launch has failed where what it was to be made from was removed under its hands: not for its own reasons. */
export async function goneMeanwhile({ dir, manifest }: SavedState, error: unknown): Promise<unknown> {
  const names = [stateFiles.memory, stateFiles.devices, ...(manifest.delta ? [stateFiles.delta] : [])];
  try {
    for (const name of names) await stat(path.join(dir, name));
    return error;
  } catch (missing) {
    // Whatever else keeps the files from being looked at says nothing about them.
    if ((missing as NodeJS.ErrnoException).code !== 'ENOENT') return error;
    return damaged(dir, 'it was removed while it was being loaded', error);
  }
}

async function isAsSaved({ dir, manifest }: SavedState): Promise<boolean> {
  const found = await measure(dir, stateFiles.memory, manifest.memory.bytes);
  return (
    manifest.bootId === (await bootId()) &&
    manifest.memory.inode === found.inode &&
    manifest.memory.mtimeNs === found.mtimeNs
  );
}

/** @throws VivError `saved_state_damaged` where the file is not there or has another length. */
async function measure(
  dir: string,
  name: string,
  bytes: number,
): Promise<{ inode: string; mtimeNs: string }> {
  const found = await stat(path.join(dir, name), { bigint: true }).catch((cause: unknown) => {
    throw damaged(dir, `${name} is missing`, cause);
  });
  if (found.size !== BigInt(bytes)) throw damaged(dir, `${name} has ${found.size} bytes instead of ${bytes}`);
  return identityOf(found);
}

/** What tells a file from another one in its place, and from itself before a change. */
export function identityOf({ ino, mtimeNs }: { ino: bigint; mtimeNs: bigint }): {
  inode: string;
  mtimeNs: string;
} {
  return { inode: String(ino), mtimeNs: String(mtimeNs) };
}

/**
 * Digests that this process knows, by inode, time of change and length: a template is loaded again and again, what was just saved is
 * loaded by its copies, and asking the shim's program costs each of them about 6 ms.
 */
const known = new Map<string, string>();
/** Then all of it is forgotten. */
const mostKnown = 10_000;

function remember(identity: string, digest: string): void {
  if (known.size > mostKnown) known.clear();
  known.set(identity, digest);
}

/** Asks only for files that have changed since, or were never asked for. */
export function remembering(digests: Digests): Digests {
  return async (files) => {
    const found = await Promise.all(files.map((file) => stat(file, { bigint: true })));
    const identities = found.map(({ ino, mtimeNs, size }) => `${ino} ${mtimeNs} ${size}`);
    const unknown = files.filter((_, index) => !known.has(identities[index] ?? ''));
    const told = unknown.length === 0 ? [] : await digests(unknown);
    return files.map((file, index) => {
      const [identity = '', bytes = 0] = [identities[index], Number(found[index]?.size)];
      const digest = told[unknown.indexOf(file)]?.digest ?? known.get(identity) ?? '';
      remember(identity, digest);
      return { bytes, digest };
    });
  };
}

async function compare(dir: string, expected: readonly Expected[], digests: Digests): Promise<void> {
  for (const { name, bytes } of expected) await measure(dir, name, bytes);
  const found = await remembering(digests)(expected.map(({ name }) => path.join(dir, name)));
  for (const [index, { name, digest }] of expected.entries()) {
    if (found[index]?.digest !== digest) throw damaged(dir, `${name} is not what was saved`);
  }
}
