import { readdir, readFile, readlink } from 'node:fs/promises';

/** A process that belongs to a test run: it inherited the run's environment, or works in its temporary directory. */
export interface Leak {
  pid: number;
  command: string;
}

/** Text of a /proc file; empty where the process is gone or is not ours to look at. */
async function read(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '');
}

/** Processes (other than this one) that carry `mark` in their environment or `dir` in their arguments or directory. */
export async function processesOf(mark: string, dir: string): Promise<Leak[]> {
  const found: Leak[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = (await read(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim();
    // A zombie has no command line; whoever started it has yet to reap it, and it holds nothing.
    if (command === '') continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    const environment = (await read(`/proc/${pid}/environ`)).split('\0');
    if (environment.includes(mark) || command.includes(dir) || cwd.startsWith(dir))
      found.push({ pid, command });
  }
  return found;
}

/** Mount points below `dir`. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const lines = (await read('/proc/self/mounts')).split('\n');
  return lines.map((line) => line.split(' ')[1] ?? '').filter((point) => point.startsWith(dir));
}
