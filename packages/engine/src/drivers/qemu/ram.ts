import { VivError } from '@vivarium/model';
import type { Execute } from './disk-layers.ts';

/** What lies together in the guest's address space. Offsets are those in the RAM block, which is how a memory file counts. */
export interface RamPart {
  address: number;
  offset: number;
  bytes: number;
}

const fourGiB = 2 ** 32;
/** From here on q35 puts RAM above 4 GiB too: room is kept for PCI, more of it than a smaller machine needs. */
const splitFromBytes = 0xb000_0000;
const lowBytes = 0x8000_0000;
/** Where firmware decides what is seen, RAM or ROM or a device, by segments. */
const shadowed = { from: 0xa_0000, to: 0x10_0000, step: 0x4000 } as const;
const pageBytes = 4096;

/** Where q35 has its RAM. */
export function ramParts(memoryBytes: number): RamPart[] {
  if (memoryBytes < splitFromBytes) return [{ address: 0, offset: 0, bytes: memoryBytes }];
  return [
    { address: 0, offset: 0, bytes: lowBytes },
    { address: fourGiB, offset: lowBytes, bytes: memoryBytes - lowBytes },
  ];
}

/** Where the guest's RAM begins in QEMU's memory. */
export async function ramAddress(execute: Execute): Promise<number> {
  const { said, host } = await lookUp(execute, 0);
  if (host === undefined) throw new VivError('vmm_failed', `QEMU does not say where its RAM is: ${said}`);
  return host;
}

/**
 * That the guest's address space has the RAM where {@link ramParts} says: each part's ends, and all that firmware may cover.
 *
 * @throws VivError `not_supported` where something else is seen there.
 */
export async function checkRamParts(execute: Execute, parts: readonly RamPart[]): Promise<void> {
  const begin = await ramAddress(execute);
  for (const { address, offset, bytes } of parts) {
    const looked = [address, address + bytes - pageBytes];
    if (address === 0) {
      for (let at: number = shadowed.from; at < shadowed.to; at += shadowed.step) looked.push(at);
    }
    for (const at of looked) {
      const { said, host } = await lookUp(execute, at);
      if (host === begin + offset + (at - address)) continue;
      throw new VivError('not_supported', `Not all of the guest's RAM can be seen at this moment: ${said}`);
    }
  }
}

/** QEMU 7.2 tells it only in its human monitor. */
async function lookUp(execute: Execute, address: number): Promise<{ said: string; host?: number }> {
  const line = `gpa2hva 0x${address.toString(16)}`;
  const said = String(await execute('human-monitor-command', { 'command-line': line })).trim();
  const host = /\(ram\) is (0x[0-9a-f]+)/.exec(said)?.[1];
  return { said, ...(host === undefined ? {} : { host: Number(host) }) };
}
