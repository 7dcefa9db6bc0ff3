import { randomBytes } from 'node:crypto';
import { VivError } from '@vivarium/model';
import { diskNode, diskNodeOptions } from './command-line.ts';

/** {@link QmpClient.execute}. */
export type Execute = (command: string, args?: object) => Promise<unknown>;

/** Bytes; a serial has 20 at most. */
const longestNodeName = 31;

interface Inserted {
  'node-name': string;
  file: string;
}

/**
 * The node that a disk's device writes to. The first is named by the command line, those above it `disk-<serial>.<random>`:
 * which of them is the top nobody has to remember.
 *
 * @throws VivError `vmm_failed` where the machine has no such disk.
 */
export async function topNode(execute: Execute, serial: string): Promise<string> {
  return (await inserted(execute, serial))['node-name'];
}

/**
 * Path of the file that is written now, as it was given. QEMU's own word for an added layer is a description of the whole
 * chain, cut off somewhere, so that its file has a node of its own to be asked.
 */
export async function topLayer(execute: Execute, serial: string): Promise<string> {
  const top = await inserted(execute, serial);
  if (top['node-name'] === diskNode(serial)) return top.file;
  const file = (await nodes(execute)).find((node) => node['node-name'] === fileNode(top['node-name']));
  if (!file) throw new VivError('vmm_failed', `QEMU does not tell the file of the disk ${serial}`);
  return file.file;
}

/**
 * Puts a layer on top of a live disk. QEMU flushes what it has, and from the answer on what was the top is read-only.
 *
 * @param file Absolute path of an empty qcow2 file over the present top. It keeps this name for as long as QEMU has it.
 */
export async function addLayer(execute: Execute, serial: string, file: string): Promise<void> {
  const node = await topNode(execute, serial);
  const overlay = `${diskNode(serial)}.${randomBytes(8).toString('hex')}`.slice(0, longestNodeName);
  const disk = { path: file, format: 'qcow2', readOnly: false } as const;
  await execute('blockdev-add', { ...diskNodeOptions(overlay, disk, fileNode(overlay)), backing: null });
  try {
    await execute('blockdev-snapshot', { node, overlay });
  } catch (error) {
    if ((await topNode(execute, serial)) === overlay) return; // its answer was lost, or late
    await execute('blockdev-del', { 'node-name': overlay });
    throw error;
  }
}

/** Of the file that a layer's node stands on. As long as that, which is as long as can be. */
const fileNode = (layer: string): string => layer.replace(/^disk-/, 'file-');

async function nodes(execute: Execute): Promise<Inserted[]> {
  return (await execute('query-named-block-nodes', { flat: true })) as Inserted[];
}

async function inserted(execute: Execute, serial: string): Promise<Inserted> {
  const name = diskNode(serial);
  const devices = (await execute('query-block')) as { inserted?: Inserted }[];
  for (const { inserted } of devices) {
    const node = inserted?.['node-name'];
    if (inserted && (node === name || node?.startsWith(`${name}.`))) return inserted;
  }
  throw new VivError('vmm_failed', `The machine has no disk ${serial}`);
}
