import { constants } from 'node:os';
import { type ExitInfo, formatSize } from '@vivarium/model';
import type { ExitRecord } from '../drivers/driver.ts';
import type { WorkloadExit } from '../guest/guest.ts';
import { killedForMemory } from '../limits/apply.ts';
import type { Context } from './context.ts';
import { consoleLines, logTail, panicIn } from './evidence.ts';
import type { Instance } from './instance.ts';

/** How a VM ended, from the VMM's exit record, the last line of its app log, its console, its cgroup, and what we did to it. */
export async function exitInfo(context: Context, instance: Instance, record: ExitRecord): Promise<ExitInfo> {
  const workload = (await exitLine(instance)) ?? instance.workloadExit;
  const panic = panicIn(await consoleLines(instance.dir, 200));
  const vmm = {
    ...(record.code === undefined ? {} : { code: record.code }),
    ...(record.signal === undefined ? {} : { signal: record.signal }),
  };
  const info = (reason: ExitInfo['reason'], message: string): ExitInfo => ({
    reason,
    ...(workload === undefined ? {} : { code: workload.code }),
    message,
    at: record.at,
    vmm,
  });
  const { ending } = instance;
  if (ending === 'killed') return info('killed', 'killed by force');
  if (ending === 'stopped')
    return info('stopped', workload === undefined ? 'stopped' : `stopped; ${describe(workload)}`);
  if (panic !== undefined) return info('panicked', `the kernel panicked: ${panic}`);
  if (record.unobserved) return info('vmm_exited', 'the VMM ended while nobody was there to see how');
  if (record.signal !== undefined)
    return info('vmm_exited', `the VMM was killed by ${await killer(context, instance, record.signal)}`);
  if (record.code !== undefined && record.code !== 0) {
    const last = record.stderr.trim().split('\n').at(-1) ?? '';
    return info('vmm_exited', `the VMM exited with ${record.code}${last === '' ? '' : `: ${last}`}`);
  }
  if (workload !== undefined) return info('exited', describe(workload));
  return info('guest_off', 'the guest powered itself off');
}

async function killer(context: Context, instance: Instance, signal: string): Promise<string> {
  if (signal !== 'SIGKILL' || !(await killedForMemory(context, instance))) return signal;
  const { memoryBytes } = instance.record.spec.limits ?? {};
  const limit = memoryBytes === undefined ? 'its limit' : `its limit of ${formatSize(memoryBytes)}`;
  return `the kernel: it needed more memory of the host than ${limit}`;
}

/** `exited with code 7`, `killed by signal 9 (SIGKILL) - OOM`. */
export function describe(exit: WorkloadExit): string {
  if (exit.signal === undefined) return `exited with code ${exit.code}`;
  const number = constants.signals[exit.signal as NodeJS.Signals] ?? exit.code - 128;
  return `killed by signal ${number} (${exit.signal})${exit.oom ? ' - OOM' : ''}`;
}

/**
 * The agent's last word in the log port: it is there even when no daemon was. The guest may write anything into that
 * port, so a line that isn't what the agent writes is ignored.
 */
async function exitLine(instance: Instance): Promise<WorkloadExit | undefined> {
  const started = instance.record.startedAt ?? '';
  const lines = (await logTail(instance.dir, 'app.log', 4096)).split('\n').toReversed();
  for (const line of lines) {
    const match = /^(\S+) exit F (\{.*\})$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    // A line of an earlier run in the same file: this one got its clock after it was launched.
    if (Date.parse(match[1]) < Date.parse(started)) return undefined;
    try {
      const exit = JSON.parse(match[2]) as Partial<WorkloadExit>;
      if (!isExitCode(exit.code)) continue;
      return {
        id: String(exit.id ?? 'root'),
        code: exit.code,
        ...(isSignalName(exit.signal) ? { signal: exit.signal } : {}),
        oom: exit.oom === true,
      };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}

/** It becomes the exit status of whoever waited. */
function isExitCode(code: unknown): code is number {
  return Number.isInteger(code) && Number(code) >= 0 && Number(code) <= 255;
}

/** It reaches terminals. */
function isSignalName(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Z0-9+-]{1,16}$/.test(name);
}
