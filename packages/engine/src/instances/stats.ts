import { readFile } from 'node:fs/promises';
import type { InstanceStats } from '@vivarium/model';
import { guestOf } from './exec.ts';
import type { Instance } from './instance.ts';

/** USER_HZ: a constant of the kernel's ABI on every architecture Linux has. */
const nanosPerTick = 10_000_000;
const pageBytes = 4096;

/** From inside (the agent) and from outside (the VMM's process). */
export async function instanceStats(instance: Instance, signal: AbortSignal): Promise<InstanceStats> {
  const [guest, vmm] = await Promise.all([guestOf(instance, 'measure').stats(signal), vmmStats(instance)]);
  return { at: new Date().toISOString(), ...guest, ...(vmm === undefined ? {} : { vmm }) };
}

async function vmmStats(instance: Instance): Promise<InstanceStats['vmm']> {
  const pid = instance.machine?.record.vmm.pid;
  if (pid === undefined) return undefined;
  try {
    const [stat, statm] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/statm`, 'utf8'),
    ]);
    // The second field is the program's name in brackets, and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      cpuNanos: (Number(fields[11]) + Number(fields[12])) * nanosPerTick,
      residentBytes: Number(statm.split(' ')[1]) * pageBytes,
    };
  } catch (error) {
    // It has just ended, or lives in memory only (the simulated driver).
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
