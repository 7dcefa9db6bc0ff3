import { closeSync, existsSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { RawQmp } from './qmp.ts';
import type { RawMachine } from './raw-machine.ts';

const page = 4096;
/** Bytes that are copied with one call, at most. */
const stretch = 2 ** 20;
/** Of /proc/PID/pagemap: present, swapped, and of a file. */
const [present, swapped, ofFile] = [1n << 63n, 1n << 62n, 1n << 61n];

/**
 * Copies what the guest has written since its memory was mapped (all of it, where it was booted) into a sparse file: a new one, or a copy of
 * what was mapped. Answers the bytes.
 */
export async function copyWritten(
  machine: RawMachine,
  qmp: RawQmp,
  bytes: number,
  file: string,
): Promise<number> {
  const said = await qmp.execute('human-monitor-command', { 'command-line': 'gpa2hva 0x0' });
  const address = Number(/is (0x[0-9a-f]+)/.exec(String(said))?.[1]);
  const own = ownPages(machine.pid, address, bytes);
  const memory = openSync(`/proc/${machine.pid}/mem`, 'r');
  const into = openSync(file, existsSync(file) ? 'r+' : 'w', 0o600);
  ftruncateSync(into, bytes);
  const buffer = Buffer.alloc(stretch);
  let copied = 0;
  for (let at = 0; at < own.length; ) {
    let end = at;
    while (end < own.length && own[end] === 1 && end - at < stretch / page) end++;
    const length = (end - at) * page;
    if (length > 0) {
      readSync(memory, buffer, 0, length, address + at * page);
      writeSync(into, buffer, 0, length, at * page);
      copied += length;
    }
    at = Math.max(end, at + 1);
  }
  closeSync(memory);
  closeSync(into);
  return copied;
}

function ownPages(pid: number, address: number, bytes: number): Uint8Array {
  const map = Buffer.alloc((bytes / page) * 8);
  const file = openSync(`/proc/${pid}/pagemap`, 'r');
  readSync(file, map, 0, map.length, (address / page) * 8);
  closeSync(file);
  return Uint8Array.from({ length: bytes / page }, (_, index) => {
    const entry = map.readBigUInt64LE(index * 8);
    return (entry & (present | swapped)) !== 0n && (entry & ofFile) === 0n ? 1 : 0;
  });
}
