import { link, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isVivError } from '@vivarium/model';
import { stateFiles } from '../../saved-states/manifest.ts';
import { inherited, type SaveTarget } from '../driver.ts';
import { exists, memoryFiles, replaceLink } from './memory.ts';
import { writeMemory } from './memory-pieces.ts';
import type { Saveable } from './save.ts';

/** Gigabytes onto a slow disk. Milliseconds. */
const copyTimeoutMs = 30 * 60_000;
const defaultDeltaBytes = 4 * 2 ** 20;
/** What the shim writes at most. */
const mostDeltaPages = 8192;
const pageBytes = 4096;

interface Range {
  address: number;
  bytes: number;
}

/** Memory of which as much was copied as can be while the guest runs, and what is left to do once it stands still. */
export interface Prepared {
  /** False where more has changed than was foreseen, and nothing was written: the guest had better run until {@link instead} is ready. */
  finish(): Promise<boolean>;
  /** All of it, where `finish` was false. */
  instead(): Promise<Prepared>;
  /** Remembers what was saved, so that the next save may be a delta to it. */
  keep(): Promise<void>;
}

/** While the guest may run: as much as can be done before it stands still. */
export async function prepareMemory(machine: Saveable, target: SaveTarget): Promise<Prepared> {
  if (machine.readMemory === 'vmm') return byVmm(machine, target);
  try {
    return await byShim(machine, target);
  } catch (error) {
    if (!isVivError(error, 'not_supported')) throw error;
    return byVmm(machine, target);
  }
}

const noOther = (): never => {
  throw new Error('All of the memory was saved');
};

/** There is nothing that could be done before the pause, and nothing that a delta could be compared with. */
function byVmm({ execute, shape }: Saveable, { dir, signal }: SaveTarget): Prepared {
  return {
    finish: async () => {
      await writeMemory(execute, path.join(dir, stateFiles.memory), shape.memoryBytes, signal);
      return true;
    },
    instead: noOther,
    keep: async () => {},
  };
}

async function byShim(machine: Saveable, target: SaveTarget): Promise<Prepared> {
  const { dir, mostDeltaBytes = defaultDeltaBytes, ready } = target;
  // In the pause it is too late to find that the host does not let the shim look.
  const early = target.early === true && machine.reach.proven;
  const range = { address: await machine.address(), bytes: machine.shape.memoryBytes };
  const base = path.join(machine.record.dir, memoryFiles.last);
  const most = Math.min(mostDeltaPages, Math.floor(mostDeltaBytes / pageBytes));
  if (most > 0 && (await exists(base)) && (early || (await isLittle(machine, { range, base, most })))) {
    await foresee(machine, target, base);
    return delta(machine, dir, { range, base, most });
  }
  // What still runs would only write to what has been copied.
  await ready;
  return whole(machine, path.join(dir, stateFiles.memory), range);
}

interface Compared {
  range: Range;
  /** The file that is compared with. */
  base: string;
  /** Pages that may differ, at most. */
  most: number;
}

async function isLittle({ shim, reach }: Saveable, { range, base, most }: Compared): Promise<boolean> {
  // Where more than half of that differ before the pause there may be too many in it.
  const likely = Math.ceil(most / 2);
  const told = await shim('memory_differ', { ...range, base, most_pages: likely }, copyTimeoutMs);
  reach.proven = true;
  return (told as { pages: number }).pages <= likely;
}

/** What is to be in the directory is there, or has its name, before anybody is told to expect it. */
async function foresee({ shape }: Saveable, { dir, foreseen }: SaveTarget, base: string): Promise<void> {
  await link(base, path.join(dir, stateFiles.memory));
  // QEMU writes into what is there; whoever expects the state may have it open by then.
  await writeFile(path.join(dir, stateFiles.devices), '', { mode: 0o600 });
  await foreseen?.(inherited(shape));
}

async function whole(machine: Saveable, into: string, range: Range): Promise<Prepared> {
  const base = path.join(machine.record.dir, memoryFiles.base);
  await machine.shim(
    'memory_copy',
    { ...range, into, ...((await exists(base)) ? { base } : {}) },
    copyTimeoutMs,
  );
  machine.reach.proven = true;
  return {
    finish: async () => {
      await machine.shim('memory_update', { ...range, into }, copyTimeoutMs);
      return true;
    },
    instead: noOther,
    keep: () => replaceLink(into, path.join(machine.record.dir, memoryFiles.last)),
  };
}

function delta(machine: Saveable, dir: string, { range, base, most }: Compared): Prepared {
  const params = { ...range, base, into: path.join(dir, stateFiles.delta), most_pages: most };
  return {
    finish: async () => {
      try {
        await machine.shim('memory_delta', params, copyTimeoutMs);
        return true;
      } catch (error) {
        if (!isVivError(error, 'conflict')) throw error;
        return false;
      }
    },
    instead: () => wholeInPlace(machine, dir, range),
    keep: async () => {},
  };
}

/** Of a directory in which there is a name for the memory already. */
async function wholeInPlace(machine: Saveable, dir: string, range: Range): Promise<Prepared> {
  const memory = path.join(dir, stateFiles.memory);
  const copied = `${memory}.whole`;
  const all = await whole(machine, copied, range);
  return {
    ...all,
    finish: async () => {
      await all.finish();
      await rename(copied, memory);
      return true;
    },
    keep: () => replaceLink(memory, path.join(machine.record.dir, memoryFiles.last)),
  };
}
