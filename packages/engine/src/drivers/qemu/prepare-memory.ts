import { link, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isVivError } from '@vivarium/model';
import { stateFiles } from '../../saved-states/manifest.ts';
import type { SaveTarget } from '../driver.ts';
import { exists, memoryFiles, replaceLink } from './memory.ts';
import { writeMemory } from './memory-pieces.ts';
import { ramAddress } from './ram.ts';
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

/** Memory that was copied while the guest ran, and what is left to do once it stands still. */
interface Prepared {
  finish(): Promise<void>;
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

/** There is nothing that could be done before the pause, and nothing that a delta could be compared with. */
function byVmm({ execute, shape }: Saveable, { dir, signal }: SaveTarget): Prepared {
  return {
    finish: () => writeMemory(execute, path.join(dir, stateFiles.memory), shape.memoryBytes, signal),
    keep: async () => {},
  };
}

async function byShim(
  machine: Saveable,
  { dir, mostDeltaBytes = defaultDeltaBytes, foreseen, ready }: SaveTarget,
): Promise<Prepared> {
  const range = { address: await ramAddress(machine.execute), bytes: machine.shape.memoryBytes };
  const last = path.join(machine.record.dir, memoryFiles.last);
  const most = Math.min(mostDeltaPages, Math.floor(mostDeltaBytes / pageBytes));
  if (most > 0 && (await exists(last))) {
    // Where more than half of that differ before the pause there may be too many in it.
    const likely = Math.ceil(most / 2);
    const differ = await machine.shim(
      'memory_differ',
      { ...range, base: last, most_pages: likely },
      copyTimeoutMs,
    );
    if ((differ as { pages: number }).pages <= likely) {
      const prepared = await delta(machine, dir, { range, base: last, most });
      const { tscKhz } = machine.shape;
      await foreseen?.({ ...(tscKhz === undefined ? {} : { tscKhz }) });
      return prepared;
    }
  }
  // What still runs would only write to what has been copied.
  await ready;
  return whole(machine, path.join(dir, stateFiles.memory), range);
}

async function whole(machine: Saveable, into: string, range: Range): Promise<Prepared> {
  const base = path.join(machine.record.dir, memoryFiles.base);
  await machine.shim(
    'memory_copy',
    { ...range, into, ...((await exists(base)) ? { base } : {}) },
    copyTimeoutMs,
  );
  return {
    finish: async () => {
      await machine.shim('memory_update', { ...range, into }, copyTimeoutMs);
    },
    keep: () => replaceLink(into, path.join(machine.record.dir, memoryFiles.last)),
  };
}

async function delta(
  machine: Saveable,
  dir: string,
  { range, base, most }: { range: Range; base: string; most: number },
): Promise<Prepared> {
  const into = path.join(dir, stateFiles.delta);
  const memory = path.join(dir, stateFiles.memory);
  await link(base, memory);
  // QEMU writes into what is there; whoever expects the state may have it open by then.
  await writeFile(path.join(dir, stateFiles.devices), '', { mode: 0o600 });
  return {
    finish: async () => {
      try {
        const params = { ...range, base, into, most_pages: most };
        await machine.shim('memory_delta', params, copyTimeoutMs);
      } catch (error) {
        if (!isVivError(error, 'conflict')) throw error;
        // The guest has written much since it was looked at: the pause is as long as a copy takes.
        const copied = `${memory}.whole`;
        const copy = await whole(machine, copied, range);
        await copy.finish();
        await rename(copied, memory);
      }
    },
    keep: async () => {
      if (!(await exists(into))) await replaceLink(memory, base);
    },
  };
}
