import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Guest } from '../guest/guest.ts';
import { createId } from '../ids.ts';
import type { Context } from '../instances/context.ts';
import { bootSpec } from '../instances/machine-spec.ts';
import type { Volume } from './volume.ts';

/** Where a volume lies in a guest that has nothing else. */
export const workPlace = '/volume';

/** As default instances have, so that they share their template. */
const memoryBytes = 256 * 2 ** 20;
const prefix = '.worker-';

/** What it takes of an engine. */
export type Workshop = Pick<Context, 'driver' | 'boot' | 'connectGuest' | 'disks' | 'templates'>;

/**
 * Mounts a volume in a guest that exists for this only, which ends with it and with this process: the host's kernel never reads a
 * file system that a guest has written.
 */
export async function withGuest<T>(
  shop: Workshop,
  volume: Volume,
  { mode, signal }: { mode: 'rw' | 'ro'; signal: AbortSignal },
  work: (guest: Guest, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  await using undo = new AsyncDisposableStack();
  const dir = path.join(path.dirname(volume.dir), `${prefix}${createId()}`);
  undo.defer(() => rm(dir, { recursive: true, force: true }));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const machine = await launch(shop, volume, { dir, mode, signal });
  undo.defer(() => end(machine));
  const troubled = new AbortController();
  undo.defer(watch(machine, troubled));
  const either = AbortSignal.any([signal, troubled.signal]);
  try {
    const guest = undo.use(await shop.connectGuest((channel) => machine.open(channel, either), either));
    await guest.setClock(BigInt(Date.now()) * 1_000_000n, either);
    const { serial } = volume;
    await guest.mountVolume({ serial, path: workPlace, mode, layer: serial }, either);
    const result = await work(guest, either);
    await guest.unmountVolume(serial, { force: false }, either);
    return result;
  } catch (error) {
    if (troubled.signal.aborted && !signal.aborted) throw troubled.signal.reason;
    throw error;
  }
}

async function launch(
  { driver, boot, disks, templates }: Workshop,
  volume: Volume,
  { dir, mode, signal }: { dir: string; mode: 'rw' | 'ro'; signal: AbortSignal },
): Promise<Machine> {
  const template = await templates.forKernel({ cpus: 1, memoryBytes }, signal);
  const spec = {
    instanceId: `volume-${path.basename(dir).slice(prefix.length)}`,
    dir,
    cpus: 1,
    memoryBytes,
    boot: bootSpec(boot),
    guest: 'agent' as const,
    disks: [
      {
        serial: volume.serial,
        path: disks.path(volume.dir),
        format: 'qcow2' as const,
        readOnly: mode === 'ro',
        unit: 0,
      },
    ],
    publish: [],
    run: true,
    detached: false,
    logs: { maxBytes: 2 ** 20, keep: 0 },
  };
  return driver.launch(spec, signal, template?.state);
}

/** A VMM stops its guest where the host's disk is full; nothing would ever answer. */
function watch(machine: Machine, troubled: AbortController): () => void {
  const off = machine.onStatus((status) => {
    if (status === 'paused') {
      troubled.abort(
        new VivError('disk_full', 'No space left on the host for what is written to the volume', {
          hint: 'Make room on the file system that holds the data directory.',
        }),
      );
    }
  });
  const ended = () =>
    troubled.abort(new VivError('vmm_failed', 'The guest that works on the volume has ended'));
  machine.exited.then(ended, ended);
  return off;
}

async function end(machine: Machine): Promise<void> {
  await machine.kill();
  await machine[Symbol.asyncDispose]();
}

/** What a predecessor that was killed has left: its guests end by themselves, but maybe not yet. */
export async function clearWorkers({ driver }: Pick<Workshop, 'driver'>, volumesDir: string): Promise<void> {
  for (const name of await readdir(volumesDir)) {
    if (!name.startsWith(prefix)) continue;
    const dir = path.join(volumesDir, name);
    const found = await driver.adopt(dir);
    if (found !== undefined && 'record' in found) await end(found);
    await rm(dir, { recursive: true, force: true });
  }
}
