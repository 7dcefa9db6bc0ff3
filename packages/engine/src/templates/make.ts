import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { isMachineSaver, type Machine, type MachineSpec } from '../drivers/driver.ts';
import type { Guest } from '../guest/guest.ts';
import type { Context } from '../instances/context.ts';
import { bootSpec, layersSerial, rootSerial } from '../instances/machine-spec.ts';
import { writeManifest } from '../saved-states/manifest.ts';
import type { TemplateSubject } from './key.ts';
import type { Template } from './template.ts';
import { filesToWarm } from './warm-files.ts';

/** What making a template takes of an engine. */
export type Workshop = Pick<Context, 'driver' | 'images' | 'disks' | 'network' | 'connectGuest' | 'boot'>;

/** Nobody's: every start tells the guest its own. No name is shorter, and a file that only grows is written to faster. */
const nobody = { hostname: 'v', machineId: '0'.repeat(32), generation: 0 };

/**
 * Boots a machine (or goes on from `base`, where a root is to be mounted) to where any instance of its kind can go on, and saves
 * it in `dir`, which is written beside and renamed. Its VMM is gone afterwards, whatever happened.
 */
export async function makeTemplate(
  shop: Workshop,
  subject: TemplateSubject,
  { dir, base, signal }: { dir: string; base?: Template; signal: AbortSignal },
): Promise<void> {
  const place = `${path.dirname(dir)}/.making-${path.basename(dir)}`;
  const machineDir = path.join(place, 'machine');
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(place, { recursive: true, force: true }));
  await rm(place, { recursive: true, force: true });
  await mkdir(machineDir, { recursive: true, mode: 0o700 });
  const spec = await machineSpecOf(shop, subject, machineDir, signal);
  const machine = await shop.driver.launch(spec, signal, base?.state);
  undo.defer(() => end(machine));
  const guest = await shop.connectGuest((channel) => machine.open(channel, signal), signal);
  undo.use(guest);
  if (subject.level === 'image') await mountRoot(shop, subject, guest, signal);
  const made = path.join(place, 'made');
  await mkdir(made, { mode: 0o700 });
  await save(machine, guest, made, signal);
  if (subject.level === 'image') await keepDisk(shop, machineDir, made);
  await rm(dir, { recursive: true, force: true });
  await rename(made, dir);
}

async function machineSpecOf(
  shop: Workshop,
  { level, cpus, memoryBytes, image, diskBytes = 0, network }: TemplateSubject,
  dir: string,
  signal: AbortSignal,
): Promise<MachineSpec> {
  const disks: MachineSpec['disks'] = [];
  if (level === 'image' && image !== undefined) {
    await shop.disks.create(dir, diskBytes, signal);
    const layers = await shop.images.disk(image.digest);
    disks.push(
      { ...layers.disk, serial: layersSerial },
      { serial: rootSerial, path: shop.disks.path(dir), format: 'qcow2', readOnly: false },
    );
  }
  const instanceId = `template-${path.basename(path.dirname(dir)).slice(-16)}`;
  return {
    instanceId,
    dir,
    cpus,
    memoryBytes,
    boot: bootSpec(shop.boot),
    guest: 'agent',
    disks,
    // Nobody's address: each start brings its own, and the card is found already.
    ...(level === 'image' && network === 'user' ? { nic: shop.network.allocate(instanceId, []) } : {}),
    publish: [],
    run: true,
    detached: false,
    logs: { maxBytes: 2 ** 20, keep: 0 },
  };
}

async function mountRoot(
  shop: Workshop,
  { image }: TemplateSubject,
  guest: Guest,
  signal: AbortSignal,
): Promise<void> {
  const { layers } = await shop.images.disk(image?.digest ?? '');
  await guest.configure(
    {
      ...nobody,
      entropy: randomBytes(256),
      clockNanos: BigInt(Date.now()) * 1_000_000n,
      root: { layers, layersSerial, overlaySerial: rootSerial },
    },
    signal,
  );
  await guest.warm(filesToWarm(shop.images.find(image?.digest ?? '')?.config), signal);
}

async function save(machine: Machine, guest: Guest, dir: string, signal: AbortSignal): Promise<void> {
  if (!isMachineSaver(machine)) throw new VivError('not_supported', 'This machine can not be saved');
  await guest.standStill({ freeze: false }, signal);
  const { manifest } = await machine.save({ dir, guest: nobody, afterwards: 'stay', whole: true, signal });
  // What a crash of the host leaves is hashed before it is believed.
  await writeManifest(dir, manifest, { durable: false });
  await end(machine);
}

async function end(machine: Machine): Promise<void> {
  await machine.kill();
  await machine[Symbol.asyncDispose]();
}

/** The disk as it was at the save, in the template's own directory. */
async function keepDisk(shop: Workshop, from: string, to: string): Promise<void> {
  await shop.disks.newLayer(from);
  await shop.disks.commitLayer(from);
  await shop.disks.copy(from, to);
}
