import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { dataDir, VivError } from '@vivarium/model';

/** Who owns a data directory, as its `owner.json` says. */
export interface DaemonProcess {
  readonly program: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly since: string;
}

interface Owner extends DaemonProcess {
  readonly startTime: number;
  readonly bootId: string;
}

/** Where `vivd` writes its log. */
export function daemonLog(env: NodeJS.ProcessEnv): string {
  return path.join(dataDir(env), 'vivd.log');
}

/**
 * The process that owns the data directory, where it is alive. The file outlives its writer, and pids are used again:
 * only pid, start time and boot together name a process.
 */
export function daemonProcess(env: NodeJS.ProcessEnv): DaemonProcess | undefined {
  const owner = readJson<Owner>(path.join(dataDir(env), 'owner.json'));
  return owner !== undefined && isAlive(owner) ? owner : undefined;
}

/**
 * Asks the daemon to end (its VMs go on), and waits until it has. Answers false where none runs.
 *
 * @throws VivError `timeout`; `conflict` where the directory belongs to another program that embeds the engine.
 */
export async function stopDaemon(
  env: NodeJS.ProcessEnv,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<boolean> {
  const owner = readJson<Owner>(path.join(dataDir(env), 'owner.json'));
  if (owner === undefined || !isAlive(owner)) return false;
  if (owner.program !== 'vivd') {
    throw new VivError(
      'conflict',
      `${dataDir(env)} belongs to ${owner.program}, pid ${owner.pid}, not to vivd.`,
    );
  }
  process.kill(owner.pid, 'SIGTERM');
  const deadline = Date.now() + options.timeoutMs;
  while (isAlive(owner)) {
    if (Date.now() > deadline) {
      throw new VivError(
        'timeout',
        `vivd, pid ${owner.pid}, has not ended after ${options.timeoutMs / 1000} s.`,
        {
          hint: `Its log is ${daemonLog(env)}.`,
        },
      );
    }
    await delay(20, undefined, { signal: options.signal });
  }
  return true;
}

function isAlive({ pid, startTime, bootId }: Owner): boolean {
  if (readText('/proc/sys/kernel/random/boot_id')?.trim() !== bootId) return false;
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return false;
  // The name may hold blanks and parentheses; state (field 3) is the first behind the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] !== 'Z' && Number(fields[19]) === startTime;
}

function readJson<T>(file: string): T | undefined {
  const text = readText(file);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as T);
  } catch (cause) {
    throw new VivError('internal', `${file} is damaged.`, { cause });
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // ESRCH: the process ended while its file was being read.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
