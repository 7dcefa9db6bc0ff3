import Type, { type Static } from 'typebox';
import { Nullable, StringMap, Time } from './basic.ts';
import { ErrorBody } from './error.ts';

const Duration = Type.String({ description: 'A Go duration, as in 90s, 15m or 24h.' });

const Retention = Type.Object(
  {
    max_count: Type.Optional(Type.Integer({ minimum: 0, description: 'At most so many; 0: no limit.' })),
    max_age: Type.Optional(Duration),
  },
  { description: 'At least one of the two. Only snapshots of the schedule itself are removed.' },
);

/** hypeman's request; `jitter` is ours. */
export const SetSnapshotSchedule = Type.Object(
  {
    interval: Type.String({ description: 'A Go duration of at least 1m.' }),
    retention: Retention,
    name_prefix: Type.Optional(Nullable(Type.String({ description: 'Default auto.' }))),
    metadata: Type.Optional({ ...StringMap, description: 'Tags of each snapshot.' }),
    jitter: Type.Optional(
      Type.String({ description: 'Each is up to so much late, at random; at most the interval. Default 0.' }),
    ),
  },
  { $id: 'SetSnapshotSchedule' },
);
export type SetSnapshotSchedule = Static<typeof SetSnapshotSchedule>;

/** hypeman's schedule; the fields from `jitter` on are ours. */
export const SnapshotSchedule = Type.Object(
  {
    instance_id: Type.String(),
    interval: Duration,
    retention: Retention,
    name_prefix: Nullable(Type.String()),
    metadata: StringMap,
    created_at: Time,
    updated_at: Time,
    next_run_at: Time,
    last_run_at: Nullable(Time),
    last_snapshot_id: Nullable(Type.String()),
    last_error: Nullable(Type.String()),
    jitter: Type.Optional(Duration),
    error: Type.Optional(ErrorBody),
  },
  { $id: 'SnapshotSchedule' },
);
export type SnapshotSchedule = Static<typeof SnapshotSchedule>;
