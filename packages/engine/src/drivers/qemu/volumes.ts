import { setTimeout as delay } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import type { VolumeDisk } from '../driver.ts';
import { diskNode, diskNodeOptions, volumeDevice, volumeOptions } from './command-line.ts';
import type { Execute } from './disk-layers.ts';

/** A device is gone within milliseconds, once the VMM has finished what it was doing with the disk. */
const goneWithinMs = 10_000;
const lookEveryMs = 5;

const prefix = volumeDevice('');

export async function pluggedVolumes(execute: Execute): Promise<string[]> {
  const devices = (await execute('query-block')) as { qdev?: string }[];
  return devices.flatMap(({ qdev }) => {
    const id = qdev?.split('/').find((part) => part.startsWith(prefix));
    return id === undefined ? [] : [id.slice(prefix.length)];
  });
}

export async function plugVolume(execute: Execute, disk: VolumeDisk): Promise<void> {
  const { serial } = disk;
  if ((await pluggedVolumes(execute)).includes(serial)) return;
  // What a predecessor was killed in the middle of.
  await removeNodes(execute, serial);
  await execute('blockdev-add', diskNodeOptions(diskNode(serial), disk));
  try {
    await execute('device_add', volumeOptions(disk));
  } catch (error) {
    await removeNodes(execute, serial);
    throw error;
  }
}

export async function unplugVolume(execute: Execute, serial: string): Promise<void> {
  if ((await pluggedVolumes(execute)).includes(serial)) {
    await execute('device_del', { id: volumeDevice(serial) });
    for (const late = Date.now() + goneWithinMs; (await pluggedVolumes(execute)).includes(serial); ) {
      if (Date.now() > late) throw new VivError('vmm_failed', `QEMU does not let go of the volume ${serial}`);
      await delay(lookEveryMs);
    }
  }
  await removeNodes(execute, serial);
}

/** The top first: what another one stands on is not let go of. */
async function removeNodes(execute: Execute, serial: string): Promise<void> {
  const name = diskNode(serial);
  const ours = (node: string) =>
    node === name || node.startsWith(`${name}.`) || node.startsWith(`${name.replace(/^disk-/, 'file-')}.`);
  for (let left = await nodesOf(execute, ours); left.length > 0; ) {
    let refused: unknown;
    for (const node of left.toReversed()) {
      try {
        await execute('blockdev-del', { 'node-name': node });
      } catch (error) {
        refused = error;
      }
    }
    const still = await nodesOf(execute, ours);
    if (still.length === left.length) throw refused;
    left = still;
  }
}

async function nodesOf(execute: Execute, ours: (name: string) => boolean): Promise<string[]> {
  const all = (await execute('query-named-block-nodes', { flat: true })) as { 'node-name': string }[];
  return all.map((node) => node['node-name']).filter(ours);
}
