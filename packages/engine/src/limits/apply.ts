import { type InstanceLimits, type LimitEffect, VivError } from '@vivarium/model';
import { isMachineThrottler, type Machine, type MachineLimits } from '../drivers/driver.ts';
import type { GroupEffect, GroupLimits } from '../host/cgroups/index.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';

/** What is to be kept: what was asked for, and rates that are automatic. */
export function wantedLimits({ admission }: Context, { record: { spec } }: Instance): InstanceLimits {
  const { disk, download, upload } = admission.demand(spec);
  return {
    ...spec.limits,
    diskBytesPerSecond: disk,
    ...(spec.network === 'none' ? {} : { networkDownload: download, networkUpload: upload }),
  };
}

/**
 * Puts a machine under the limits of its instance, and says what is kept of them by whom. A limit that nobody here can keep does not keep
 * the VM from running: it is told, once, by an event, and by {@link Instance.effects} for as long as it runs.
 */
export async function applyLimits(
  context: Context,
  instance: Instance,
  machine: Machine,
  before: InstanceLimits = {},
): Promise<void> {
  const wanted = wantedLimits(context, instance);
  const effects = [
    ...(await throttle(machine, wanted, before)),
    ...(await group(context, instance, machine, wanted, before)),
  ];
  const asked = instance.record.spec.limits ?? {};
  instance.effects = effects.map((effect) => ({ ...effect, automatic: !asked[effect.limit] }));
  const lost = instance.effects.filter(({ by, automatic }) => by === 'none' && !automatic);
  if (lost.length > 0) {
    const words = lost.map(({ limit, why }) => `${limit} (${why})`).join(', ');
    instance.emit('warning', { message: `Limits that are not kept: ${words}` });
  }
}

/** What an instance may have been under: a predecessor may have died between the word that a limit is lifted and the deed. */
export const anyLimits: InstanceLimits = {
  diskBytesPerSecond: 1,
  diskRequestsPerSecond: 1,
  networkDownload: 1,
  networkUpload: 1,
  cpus: 1,
  cpuWeight: 1,
  memoryBytes: 1,
};

/**
 * Once its VMM has ended. Whether it has a group is not asked of its limits: they may have been lifted since. An empty group does no harm: that
 * it stays is told, and no more.
 */
export async function removeGroup({ cgroups }: Context, instance: Instance): Promise<void> {
  await cgroups?.remove(instance.id).catch((error: unknown) => {
    instance.emit('warning', { message: `Its cgroup was not removed: ${VivError.from(error).message}` });
  });
}

/** Whether a VMM that was killed was killed for the memory that it may use. Asked before its group is removed. */
export async function killedForMemory({ cgroups }: Context, instance: Instance): Promise<boolean> {
  return (await cgroups?.ranOutOfMemory(instance.id)) ?? false;
}

type Effect = Omit<LimitEffect, 'automatic'>;

const ofMachine = [
  ['diskBytesPerSecond', 'vmm'],
  ['diskRequestsPerSecond', 'vmm'],
  ['networkDownload', 'shim'],
  ['networkUpload', 'shim'],
] as const satisfies [keyof MachineLimits, LimitEffect['by']][];

/** What VMM and shim keep. */
async function throttle(machine: Machine, wanted: InstanceLimits, before: InstanceLimits): Promise<Effect[]> {
  const asked = ofMachine.filter(([limit]) => wanted[limit]);
  if (asked.length === 0 && ofMachine.every(([limit]) => !before[limit])) return [];
  const fail = (why: string): Effect[] =>
    asked.map(([limit]) => ({ limit, value: wanted[limit] ?? 0, by: 'none', why }));
  if (!isMachineThrottler(machine)) return fail('this driver has no throttles');
  try {
    await machine.throttle({
      diskBytesPerSecond: wanted.diskBytesPerSecond ?? 0,
      diskRequestsPerSecond: wanted.diskRequestsPerSecond ?? 0,
      networkDownload: wanted.networkDownload ?? 0,
      networkUpload: wanted.networkUpload ?? 0,
    });
  } catch (error) {
    return fail(VivError.from(error).message);
  }
  return asked.map(([limit, by]) => ({
    limit,
    value: wanted[limit] ?? 0,
    by,
    ...(by === 'shim' ? { why: 'of published ports; what the guest opens itself is not limited' } : {}),
  }));
}

const ofHost = ['cpus', 'cpuWeight', 'memoryBytes'] as const satisfies (keyof GroupLimits)[];

/** What the host's cgroups keep. */
async function group(
  { cgroups }: Context,
  instance: Instance,
  machine: Machine,
  wanted: InstanceLimits,
  before: InstanceLimits,
): Promise<Effect[]> {
  const pick = (limits: InstanceLimits): GroupLimits =>
    Object.fromEntries(ofHost.filter((limit) => limits[limit]).map((limit) => [limit, limits[limit]]));
  const limits = pick(wanted);
  const earlier = pick(before);
  if (Object.keys(limits).length === 0 && Object.keys(earlier).length === 0) return [];
  const found: GroupEffect[] =
    cgroups === undefined
      ? ofHost
          .filter((limit) => limits[limit])
          .map((limit) => ({ limit, by: 'none', why: 'its VMM is no process of this host' }))
      : await cgroups.apply(instance.id, machine.record.vmm.pid, limits, earlier);
  return found.map((effect) => ({ value: limits[effect.limit] ?? 0, ...effect }));
}
