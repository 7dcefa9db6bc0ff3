import { readFile } from 'node:fs/promises';

/** Bytes of /proc/PID/smaps_rollup, by the field's name. */
export async function rollup(
  pid: number,
  field: 'Pss' | 'Rss' | 'Private_Dirty' | 'Private_Clean',
): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
}

/** Bytes that no other process has. */
export async function ownBytes(pid: number): Promise<number> {
  return (await rollup(pid, 'Private_Dirty')) + (await rollup(pid, 'Private_Clean'));
}

/** Bytes of a file's private mapping that the process has written, which are in the file no more. */
export async function writtenOver(pid: number, file: RegExp): Promise<number> {
  let mapped = false;
  let bytes = 0;
  for (const line of (await readFile(`/proc/${pid}/smaps`, 'utf8')).split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) mapped = file.test(line);
    else if (mapped && line.startsWith('Anonymous:')) bytes += Number(/(\d+) kB/.exec(line)?.[1]) * 1024;
  }
  return bytes;
}

/** Seconds of processor time so far. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  // Ticks of USER_HZ, which is 100 wherever Linux tells it to programs.
  return (Number(user) + Number(system)) / 100;
}
