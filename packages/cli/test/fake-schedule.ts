import { type SnapshotScheduleInfo, VivError, type VmSnapshotSchedule } from '@vivarium/model';

/** A schedule that is only remembered. */
export function fakeSchedule(
  kept: Map<string, SnapshotScheduleInfo>,
  instanceId: string,
): VmSnapshotSchedule {
  return {
    get: async () => kept.get(instanceId),
    async set(options) {
      if (options.intervalMs < 60_000)
        throw new VivError('invalid_request', 'The interval is at least a minute');
      const { maxCount, maxAgeMs } = options.retention;
      if (maxCount === undefined && maxAgeMs === undefined)
        throw new VivError(
          'invalid_request',
          'A schedule says how many of its snapshots stay, or for how long',
        );
      const at = new Date().toISOString();
      const nextRunAt = new Date(Date.now() + options.intervalMs).toISOString();
      const info = {
        ...options,
        instanceId,
        createdAt: kept.get(instanceId)?.createdAt ?? at,
        updatedAt: at,
        nextRunAt,
      };
      kept.set(instanceId, info);
      return info;
    },
    async remove() {
      if (!kept.delete(instanceId)) throw new VivError('not_found', 'no snapshot schedule');
    },
  };
}
