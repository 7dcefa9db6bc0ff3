import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { type DoctorReport, isVivError, VivError } from '@vivarium/model';
import { isDiskLayerer } from '../drivers/driver.ts';
import type { Context } from '../instances/context.ts';
import { writerOf } from './attachments.ts';
import { readVolumeRecord } from './record.ts';

type Check = DoctorReport['checks'][number];

/** A predecessor may have been killed between two tops of a volume. Once every machine has been looked for. */
export async function settleDisks(context: Context): Promise<void> {
  for (const volume of context.volumes.registry.all()) {
    const writer = writerOf(context, volume.id)?.instance;
    // Who could not be looked at may write to either.
    if (writer?.sought) continue;
    const machine = writer?.machine;
    try {
      const live = machine !== undefined && isDiskLayerer(machine);
      const top = live ? await machine.topLayer(volume.serial) : undefined;
      await context.disks.settleLayer(volume.dir, top);
    } catch (error) {
      process.emitWarning(`The disk of the volume ${volume.name}: ${VivError.from(error).message}`);
    }
  }
}

/** Volume directories that the database does not know: what a lost one leaves. */
export async function strayVolumes({ volumes }: Context): Promise<string[]> {
  const names = await readdir(volumes.dir);
  return names.filter((name) => !name.startsWith('.') && volumes.registry.byId(name) === undefined);
}

/** Takes every volume whose directory has a record back into the database. Before the instances that have them. */
export async function rebuildVolumes(context: Context): Promise<Check[]> {
  const checks: Check[] = [];
  for (const id of await strayVolumes(context)) {
    const dir = path.join(context.volumes.dir, id);
    const record = await readVolumeRecord(dir);
    if (record === undefined || record.id !== id || record.phase !== 'made') {
      checks.push({
        name: `volume ${id}`,
        status: 'failed',
        message: 'its directory has no readable record.json; nothing was touched',
        hint: `Look at ${dir}, and remove it when nothing in it is needed.`,
      });
      continue;
    }
    checks.push(takeBack(context, record));
  }
  return checks;
}

function takeBack(context: Context, record: Parameters<Context['volumes']['adopt']>[0]): Check {
  const { id } = record;
  let name = record.name;
  try {
    context.volumes.adopt(record);
  } catch (error) {
    if (!isVivError(error, 'name_conflict')) throw error;
    name = `${record.name.slice(0, 50)}-${id.slice(0, 8)}`;
    context.volumes.adopt({ ...record, name });
  }
  const taken = name === record.name ? '' : ` (${record.name} is taken)`;
  return { name: `volume ${id}`, status: 'ok', message: `restored as ${name}${taken}` };
}
