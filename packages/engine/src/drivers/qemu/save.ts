import { chmod, link, stat } from 'node:fs/promises';
import path from 'node:path';
import { isVivError, VivError } from '@vivarium/model';
import { bootId } from '../../host/identity.ts';
import { type Digests, identityOf, remembering } from '../../saved-states/check.ts';
import { stateFiles } from '../../saved-states/manifest.ts';
import type { MachineRecord, SavedStateManifest, SaveTarget } from '../driver.ts';
import { memoryFiles, replaceLink, type SavedShape } from './memory.ts';
import { statusFrom } from './status.ts';

/** What a save needs of a machine. */
export interface Saveable {
  record: MachineRecord;
  shape: SavedShape;
  execute(command: string, args?: object, timeoutMs?: number): Promise<unknown>;
  shim(method: string, params: object, timeoutMs: number): Promise<unknown>;
  digests: Digests;
}

/** Gigabytes onto a slow disk. Milliseconds. */
const copyTimeoutMs = 30 * 60_000;
/** QEMU waits for its disks before it stops, and a loaded host for everything. Milliseconds. */
const haltTimeoutMs = 60_000;
/** Of the device state: 2 ms as a rule; QEMU may wait for a disk before. */
const devicesTimeoutMs = 60_000;
/** A delta is worth it up to this many pages (32 MiB): it is written into each copy, where a memory file is only mapped. */
const mostDeltaPages = 8192;
/** Where more differ before the pause there may be too many in it. */
const likelyDeltaPages = 4096;

/** Saves a running or paused machine. It is as it was before when this rejects, and unless `then` is `stay` when it resolves. */
export async function saveMachine(
  machine: Saveable,
  target: SaveTarget,
): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }> {
  const was = statusFrom(await machine.execute('query-status'));
  if (was !== 'running' && was !== 'paused')
    throw new VivError('invalid_state', `A machine that is ${was} can't be saved`);
  const range = { address: await ramAddress(machine), bytes: machine.shape.memoryBytes };
  const memory = await prepare(machine, target, range);
  target.signal?.throwIfAborted();
  const began = performance.now();
  await machine.execute('stop', {}, haltTimeoutMs);
  let complete = false;
  let ended: number;
  try {
    await machine.execute(
      'xen-save-devices-state',
      { filename: path.join(target.dir, stateFiles.devices), live: true },
      devicesTimeoutMs,
    );
    await target.atPause?.();
    await memory.finish();
    complete = true;
  } finally {
    if (was === 'running' && !(complete && target.afterwards === 'stay'))
      await machine.execute('cont', {}, haltTimeoutMs);
    ended = performance.now();
  }
  await memory.keep();
  const manifest = await describe(machine, target, was);
  return { manifest, pauseMilliseconds: ended - began };
}

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

async function prepare(
  machine: Saveable,
  { dir, whole: always = false }: Pick<SaveTarget, 'dir' | 'whole'>,
  range: Range,
): Promise<Prepared> {
  const last = path.join(machine.record.dir, memoryFiles.last);
  if (!always && (await exists(last))) {
    const differ = await machine.shim(
      'memory_differ',
      { ...range, base: last, most_pages: likelyDeltaPages },
      copyTimeoutMs,
    );
    if ((differ as { pages: number }).pages <= likelyDeltaPages) return delta(machine, dir, range, last);
  }
  return whole(machine, dir, range);
}

async function whole(machine: Saveable, dir: string, range: Range): Promise<Prepared> {
  const into = path.join(dir, stateFiles.memory);
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

async function delta(machine: Saveable, dir: string, range: Range, base: string): Promise<Prepared> {
  const into = path.join(dir, stateFiles.delta);
  const memory = path.join(dir, stateFiles.memory);
  return {
    finish: async () => {
      try {
        const params = { ...range, base, into, most_pages: mostDeltaPages };
        await machine.shim('memory_delta', params, copyTimeoutMs);
        await link(base, memory);
      } catch (error) {
        if (!isVivError(error, 'conflict')) throw error;
        // The guest has written much since it was looked at: the pause is as long as a copy takes.
        const copy = await whole(machine, dir, range);
        await copy.finish();
      }
    },
    keep: async () => {
      if (!(await exists(into))) await replaceLink(memory, base);
    },
  };
}

async function describe(
  { record, shape, digests }: Saveable,
  { dir, guest }: SaveTarget,
  was: 'running' | 'paused',
): Promise<SavedStateManifest> {
  const deltaFile = path.join(dir, stateFiles.delta);
  const hasDelta = await exists(deltaFile);
  const memoryFile = path.join(dir, stateFiles.memory);
  // QEMU 7.2 opens what it maps privately for writing too, and refuses where it may not. It never writes to it.
  if (process.getuid?.() !== 0) await chmod(memoryFile, 0o600);
  const files = [memoryFile, path.join(dir, stateFiles.devices), ...(hasDelta ? [deltaFile] : [])];
  const [memory, devices, delta] = await remembering(digests)(files);
  if (memory === undefined || devices === undefined) throw new VivError('internal', 'Digests are missing');
  const found = await stat(memoryFile, { bigint: true });
  return {
    format: 1,
    driver: 'qemu',
    savedAt: new Date().toISOString(),
    bootId: await bootId(),
    vmm: {
      name: record.vmmName,
      version: record.vmmVersion,
      machine: record.machine,
      accelerator: record.accelerator,
      cpu: shape.cpu,
    },
    shape: { cpus: shape.cpus, memoryBytes: shape.memoryBytes, devices: shape.devices },
    boot: shape.boot,
    guest: { ...guest, was },
    memory: {
      bytes: memory.bytes,
      dataBytes: Number(found.blocks) * 512,
      digest: memory.digest,
      ...identityOf(found),
    },
    ...(delta === undefined ? {} : { delta: { pages: deltaPages(delta.bytes), ...pick(delta) } }),
    devices: pick(devices),
  };
}

const pick = ({ bytes, digest }: { bytes: number; digest: string }) => ({ bytes, digest });

/** A header of 16 bytes, then 8 and 4096 bytes a page. */
const deltaPages = (bytes: number): number => (bytes - 16) / 4104;

/** Where the guest's RAM begins in QEMU's memory. QEMU 7.2 tells it only in its human monitor. */
export async function ramAddress(machine: Pick<Saveable, 'execute'>): Promise<number> {
  const said = await machine.execute('human-monitor-command', { 'command-line': 'gpa2hva 0x0' });
  const address = /\(ram\) is (0x[0-9a-f]+)/.exec(String(said))?.[1];
  if (address === undefined)
    throw new VivError('vmm_failed', `QEMU does not say where its RAM is: ${String(said).trim()}`);
  return Number(address);
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
