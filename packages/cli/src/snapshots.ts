import { type InstanceInfo, isVivError, type SnapshotInfo, type Vivarium, VivError } from '@vivarium/model';

/** The snapshots of one instance, and the instance where it still is. */
export interface Source {
  readonly name: string;
  readonly info?: InstanceInfo;
  /** Oldest first. */
  readonly snapshots: readonly SnapshotInfo[];
}

/**
 * Snapshots by what their source is or was called: they outlive it.
 *
 * @throws VivError `not_found` where there is neither the instance nor a snapshot of it, `ambiguous`.
 */
export async function snapshotsOf(vivarium: Vivarium, name: string): Promise<Source> {
  try {
    const vm = await vivarium.get(name);
    return { name: vm.name, info: vm.info, snapshots: await vm.snapshots.list() };
  } catch (error) {
    if (!isVivError(error, 'not_found')) throw error;
    const all = await vivarium.snapshots.list();
    const snapshots = all.filter(({ instanceId, instanceName }) => [instanceId, instanceName].includes(name));
    const sources = [...new Set(snapshots.map(({ instanceId }) => instanceId))];
    if (sources.length === 0) throw error;
    if (sources.length === 1) return { name, snapshots };
    throw new VivError('ambiguous', `${sources.length} deleted VMs were called ${JSON.stringify(name)}.`, {
      hint: `Use an id: ${sources.join(', ')}.`,
    });
  }
}

/** One of them by name, id or id prefix. @throws VivError `not_found`, `ambiguous`. */
export function pickSnapshot({ name, snapshots }: Source, nameOrId: string): SnapshotInfo {
  const exact = snapshots.find((snapshot) => snapshot.name === nameOrId || snapshot.id === nameOrId);
  if (exact !== undefined) return exact;
  const [found, other] = snapshots.filter(({ id }) => nameOrId !== '' && id.startsWith(nameOrId));
  if (found === undefined) {
    throw new VivError('not_found', `${name} has no snapshot ${JSON.stringify(nameOrId)}.`, {
      hint: `See \`viv snapshot ls ${name}\`.`,
    });
  }
  if (other === undefined) return found;
  throw new VivError(
    'ambiguous',
    `More than one snapshot of ${name} has an id that begins with ${nameOrId}.`,
  );
}
