import type { SnapshotScheduleInfo, SnapshotScheduleOptions } from '@vivarium/model';
import { VivError } from '@vivarium/model';
import type { SetSnapshotSchedule, SnapshotSchedule } from '../schemas/schedule.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { present } from './present.ts';

type Retention = SnapshotScheduleOptions['retention'];

const retentionToWire = ({ maxCount, maxAgeMs }: Retention) =>
  present({ max_count: maxCount, max_age: maxAgeMs === undefined ? undefined : formatDuration(maxAgeMs) });

/** hypeman leaves a limit out by 0. */
const retentionFromWire = ({ max_count, max_age }: SetSnapshotSchedule['retention']): Retention =>
  present({
    maxCount: max_count || undefined,
    maxAgeMs: (max_age === undefined ? 0 : parseDuration(max_age)) || undefined,
  });

export function scheduleToWire(info: SnapshotScheduleInfo): SnapshotSchedule {
  return present<SnapshotSchedule>({
    instance_id: info.instanceId,
    interval: formatDuration(info.intervalMs),
    retention: retentionToWire(info.retention),
    name_prefix: info.namePrefix ?? null,
    metadata: info.tags ?? {},
    created_at: info.createdAt,
    updated_at: info.updatedAt,
    next_run_at: info.nextRunAt,
    last_run_at: info.lastRunAt ?? null,
    last_snapshot_id: info.lastSnapshotId ?? null,
    last_error: info.lastError?.message ?? null,
    jitter: info.jitterMs === undefined ? undefined : formatDuration(info.jitterMs),
    error: info.lastError && { ...info.lastError },
  });
}

export function scheduleFromWire(wire: SnapshotSchedule): SnapshotScheduleInfo {
  return present<SnapshotScheduleInfo>({
    instanceId: wire.instance_id,
    intervalMs: parseDuration(wire.interval),
    jitterMs: wire.jitter === undefined ? undefined : parseDuration(wire.jitter),
    namePrefix: wire.name_prefix ?? undefined,
    tags: Object.keys(wire.metadata).length === 0 ? undefined : wire.metadata,
    retention: retentionFromWire(wire.retention),
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
    nextRunAt: wire.next_run_at,
    lastRunAt: wire.last_run_at ?? undefined,
    lastSnapshotId: wire.last_snapshot_id ?? undefined,
    lastError: wire.error && VivError.fromRecord(wire.error).toJSON(),
  });
}

export function scheduleRequestToWire(options: SnapshotScheduleOptions): SetSnapshotSchedule {
  const { intervalMs, jitterMs, namePrefix, tags, retention } = options;
  return present<SetSnapshotSchedule>({
    interval: formatDuration(intervalMs),
    retention: retentionToWire(retention),
    name_prefix: namePrefix,
    metadata: tags,
    jitter: jitterMs === undefined ? undefined : formatDuration(jitterMs),
  });
}

export function scheduleRequestFromWire(body: SetSnapshotSchedule): SnapshotScheduleOptions {
  return present<SnapshotScheduleOptions>({
    intervalMs: parseDuration(body.interval),
    jitterMs: body.jitter === undefined ? undefined : parseDuration(body.jitter),
    namePrefix: body.name_prefix || undefined,
    tags: body.metadata,
    retention: retentionFromWire(body.retention),
  });
}
