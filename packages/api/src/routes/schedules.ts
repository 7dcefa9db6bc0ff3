import { SetSnapshotSchedule, SnapshotSchedule } from '../schemas/schedule.ts';
import { lookup } from './errors.ts';
import type { RouteRule } from './route.ts';

const common = { tag: 'copies', origin: 'hypeman' } as const;

export const scheduleRules = {
  getSnapshotSchedule: {
    ...common,
    scope: 'snapshot:read',
    summary: 'The schedule by which snapshots of an instance are taken',
    status: 200,
    answer: SnapshotSchedule,
    errors: lookup,
  },
  setSnapshotSchedule: {
    ...common,
    scope: 'snapshot:write',
    summary: 'Have snapshots taken by themselves; the next one is an interval from now',
    body: SetSnapshotSchedule,
    status: 200,
    answer: SnapshotSchedule,
    errors: [...lookup, 'busy', 'invalid_name'],
  },
  deleteSnapshotSchedule: {
    ...common,
    scope: 'snapshot:delete',
    summary: 'Have none taken any more; those that were stay',
    status: 204,
    errors: [...lookup, 'busy'],
  },
} satisfies Record<string, RouteRule>;
