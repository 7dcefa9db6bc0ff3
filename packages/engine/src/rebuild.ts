import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { DoctorReport } from '@vivarium/model';
import { recoverInstance } from './instances/adopt.ts';
import type { Context } from './instances/context.ts';
import { Instance } from './instances/instance.ts';
import type { InstanceRegistry } from './instances/registry.ts';
import { type InstanceRecord, readRecord } from './store/record.ts';

type Check = DoctorReport['checks'][number];

/** Instance directories that the database does not know: what a lost database leaves. */
export async function strayDirectories(context: Context, registry: InstanceRegistry): Promise<string[]> {
  const names = await readdir(context.dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => registry.byId(name) === undefined);
}

/** Takes every instance whose directory has a record back into the database, and adopts its VM where it runs. */
export async function rebuild(context: Context, registry: InstanceRegistry): Promise<Check[]> {
  const checks: Check[] = [];
  for (const id of await strayDirectories(context, registry)) {
    const record = await readRecord(path.join(context.dir, id));
    if (record === undefined || record.id !== id) {
      checks.push({
        name: `instance ${id}`,
        status: 'failed',
        message: 'its directory has no readable record.json; nothing was touched',
        hint: `Look at ${path.join(context.dir, id)}, and remove it when nothing in it is needed.`,
      });
      continue;
    }
    const name = freeName(registry, record);
    // Whether its VM runs is to be seen, whatever the record says.
    const instance = new Instance({ ...record, name, phase: 'live' }, context.dir, context.events);
    registry.add(instance);
    await recoverInstance(context, instance, undefined);
    if (instance.gone) continue;
    context.journal.save(instance.record);
    instance.emit('rebuilt', { from: 'record.json' });
    checks.push({
      name: `instance ${id}`,
      status: 'ok',
      message: `restored as ${name}, ${instance.state}${name === record.name ? '' : ` (${record.name} is taken)`}`,
    });
  }
  return checks;
}

function freeName(registry: InstanceRegistry, { name, id }: InstanceRecord): string {
  return registry.has(name) ? `${name.slice(0, 50)}-${id.slice(0, 8)}` : name;
}
