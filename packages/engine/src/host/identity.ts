import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../drivers/driver.ts';

let bootIdOnce: Promise<string> | undefined;

/** This boot of the host. It does not change while this process lives. */
export function bootId(): Promise<string> {
  bootIdOnce ??= readFile('/proc/sys/kernel/random/boot_id', 'utf8').then((text) => text.trim());
  return bootIdOnce;
}

/** Those of /proc/PID/stat from the third on: the second may hold spaces and brackets. */
export const statFields = (stat: string): string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ');

/** Fields of /proc/PID/stat that tell processes apart. */
export function parseStat(stat: string): { state: string; startTime: number } | undefined {
  const fields = statFields(stat);
  const [state, startTime] = [fields[0], Number(fields[19])];
  return state && Number.isSafeInteger(startTime) ? { state, startTime } : undefined;
}

/** Text of /proc/PID/stat; undefined where it has ended. */
export async function readStat(pid: number): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** Who has this pid now; undefined where nobody has. */
export async function readIdentity(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = parseStat((await readStat(pid)) ?? '');
  return stat && { pid, startTime: stat.startTime, bootId: await bootId() };
}

export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId;
}

/** True while exactly this process runs. One that has ended and waits to be reaped does not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (identity.bootId !== (await bootId())) return false;
  const stat = parseStat((await readStat(identity.pid)) ?? '');
  return stat !== undefined && stat.startTime === identity.startTime && !'ZX'.includes(stat.state);
}

/** True once the process is gone, false where it still runs after `timeoutMs`. The kernel tells nobody but its parent. */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isAlive(identity)) {
    if (performance.now() >= deadline) return false;
    await sleep(5);
  }
  return true;
}

/** To exactly this process, never to a successor of its pid. One that has ended hears nothing. */
export async function signalProcess(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Has exactly this process be killed. True once it is gone. */
export async function killProcess(identity: ProcessIdentity, timeoutMs = 5_000): Promise<boolean> {
  await signalProcess(identity, 'SIGKILL');
  return waitUntilGone(identity, timeoutMs);
}

/** This process. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const identity = await readIdentity(process.pid);
  if (!identity) throw new Error('/proc does not show this process');
  return identity;
}
