import { readFile, stat } from 'node:fs/promises';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';

/** An instance with a VMM, as its host sees it. What can't be told is absent. */
export interface InstanceUsage {
  id: string;
  name: string;
  state: string;
  image: string;
  cpus: number;
  memoryBytes: number;
  cpuSeconds?: number;
  residentBytes?: number;
  /** What its writable disk takes. */
  diskBytes?: number;
  readBytes?: number;
  writtenBytes?: number;
}

export interface EngineUsage {
  states: Map<string, number>;
  live: InstanceUsage[];
}

/** How many are looked at at once. */
const atOnce = 16;
/** USER_HZ: a constant of the kernel's ABI on every architecture Linux has. */
const ticks = 100;
const pageBytes = 4096;

/** Counts all instances, and looks at the processes and disks of those that have a VMM. Asks no VMM and no guest. */
export async function engineUsage(context: Context): Promise<EngineUsage> {
  const states = new Map<string, number>();
  const waiting: Instance[] = [];
  for (const instance of context.instances.all()) {
    const { state } = instance;
    states.set(state, (states.get(state) ?? 0) + 1);
    if (instance.machine !== undefined) waiting.push(instance);
  }
  const live: InstanceUsage[] = [];
  const next = async () => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop())
      live.push(await usageOf(context, one));
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  return { states, live: live.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

async function usageOf(context: Context, instance: Instance): Promise<InstanceUsage> {
  const { record, machine, state } = instance;
  const pid = machine?.record.vmm.pid;
  const [process, io, disk] = await Promise.all([
    read(`/proc/${pid}/stat`),
    read(`/proc/${pid}/io`),
    stat(context.disks.path(instance.dir)).catch(() => undefined),
  ]);
  // The second field is the program's name in brackets, and may hold anything.
  const fields = process?.slice(process.lastIndexOf(')') + 2).split(' ');
  const bytes = (field: string) => {
    const found = new RegExp(`^${field}: (\\d+)$`, 'm').exec(io ?? '')?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const found = {
    cpuSeconds: fields && (Number(fields[11]) + Number(fields[12])) / ticks,
    residentBytes: fields && Number(fields[21]) * pageBytes,
    diskBytes: disk && disk.blocks * 512,
    readBytes: bytes('read_bytes'),
    writtenBytes: bytes('write_bytes'),
  };
  const { spec } = record;
  return {
    id: record.id,
    name: record.name,
    state,
    image: spec.image.reference,
    cpus: spec.cpus,
    memoryBytes: spec.memoryBytes,
    ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)),
  };
}

/** Undefined for a process that has just ended, that lives in memory only, or that is not ours to look at. */
async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
