import {
  type AskOptions,
  refuseAborted,
  type SnapshotScheduleInfo,
  type SnapshotScheduleOptions,
  VivError,
  type VmSnapshotSchedule,
} from '@vivarium/model';
import { createId } from '../ids.ts';
import { changeRecord } from '../instances/change-record.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { checkName } from '../instances/names.ts';
import { checkTags } from '../instances/resolve.ts';
import type { InstanceRecord } from '../store/record.ts';

/** What a record keeps of its schedule. */
export interface ScheduleRecord extends Omit<SnapshotScheduleInfo, 'instanceId'> {
  /** Marks its snapshots: another schedule of the same instance leaves them alone. */
  id: string;
}

const leastIntervalMs = 60_000;
/** Ten years. */
const mostMs = 10 * 366 * 86_400_000;
const longestPrefix = 40;
const defaultPrefix = 'auto';

/** The schedule of an instance, as both doors show it. */
export class InstanceSchedule implements VmSnapshotSchedule {
  readonly #context: Context;
  readonly #instance: Instance;
  readonly #changed: () => void;

  /** `changed`: whoever keeps schedules going looks again. */
  constructor(context: Context, instance: Instance, changed: () => void) {
    this.#context = context;
    this.#instance = instance;
    this.#changed = changed;
  }

  async get(options: AskOptions = {}): Promise<SnapshotScheduleInfo | undefined> {
    refuseAborted(options);
    const { record } = this.#instance;
    return record.snapshotSchedule && scheduleInfo(record, record.snapshotSchedule);
  }

  async set(options: SnapshotScheduleOptions, call: AskOptions = {}): Promise<SnapshotScheduleInfo> {
    refuseAborted(call);
    const asked = checkSchedule(options);
    const now = this.#context.clock.now();
    const at = new Date(now).toISOString();
    await this.#change((before) => ({
      id: before?.id ?? createId(),
      ...asked,
      createdAt: before?.createdAt ?? at,
      updatedAt: at,
      nextRunAt: nextRun(now, asked.intervalMs, asked.jitterMs, this.#context.clock.random()),
      ...(before?.lastRunAt === undefined ? {} : { lastRunAt: before.lastRunAt }),
      ...(before?.lastSnapshotId === undefined ? {} : { lastSnapshotId: before.lastSnapshotId }),
    }));
    return (await this.get()) as SnapshotScheduleInfo;
  }

  async remove(options: AskOptions = {}): Promise<void> {
    refuseAborted(options);
    if (this.#instance.record.snapshotSchedule === undefined)
      throw new VivError('not_found', `${this.#instance.record.name} has no snapshot schedule`);
    await this.#change(() => undefined);
  }

  async #change(change: (before: ScheduleRecord | undefined) => ScheduleRecord | undefined): Promise<void> {
    await changeRecord(this.#context, this.#instance, ({ snapshotSchedule }) => ({
      next: { snapshotSchedule: change(snapshotSchedule) },
      fields: ['snapshotSchedule'],
    }));
    this.#changed();
  }
}

function scheduleInfo(record: InstanceRecord, { id: _, ...rest }: ScheduleRecord): SnapshotScheduleInfo {
  return { instanceId: record.id, ...rest };
}

/** RFC 3339. `random`: 0 to 1. */
export function nextRun(from: number, intervalMs: number, jitterMs = 0, random = 0): string {
  return new Date(from + intervalMs + Math.round(jitterMs * random)).toISOString();
}

/** Of a schedule: the prefix, and when it was taken. */
export function snapshotName(prefix: string = defaultPrefix, at: number): string {
  const stamp = new Date(at).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return `${prefix}-${stamp}`;
}

/** @throws VivError `invalid_request`, `invalid_name`. */
function checkSchedule(options: SnapshotScheduleOptions): SnapshotScheduleOptions {
  const { intervalMs, jitterMs, namePrefix, tags, retention } = options;
  const { maxCount, maxAgeMs } = retention;
  const within = (value: number, least: number, most: number) =>
    Number.isSafeInteger(value) && value >= least && value <= most;
  const wrong = (message: string) => new VivError('invalid_request', message);
  if (!within(intervalMs, leastIntervalMs, mostMs)) throw wrong('The interval is at least a minute');
  if (jitterMs !== undefined && !within(jitterMs, 0, intervalMs))
    throw wrong('The jitter is at most the interval');
  if (maxCount === undefined && maxAgeMs === undefined)
    throw new VivError('invalid_request', 'A schedule says how many of its snapshots stay, or for how long', {
      hint: 'Set a count, an age, or both.',
    });
  if (maxCount !== undefined && !within(maxCount, 1, 10_000)) throw wrong('The count is 1 to 10000');
  if (maxAgeMs !== undefined && !within(maxAgeMs, leastIntervalMs, mostMs))
    throw wrong('The age is at least a minute');
  if (namePrefix !== undefined) {
    if (namePrefix.length > longestPrefix)
      throw new VivError('invalid_name', `The prefix has more than ${longestPrefix} characters`);
    checkName(snapshotName(namePrefix, 0));
  }
  checkTags(tags);
  return {
    intervalMs,
    ...(jitterMs === undefined ? {} : { jitterMs }),
    ...(namePrefix === undefined ? {} : { namePrefix }),
    ...(tags === undefined || Object.keys(tags).length === 0 ? {} : { tags }),
    retention: {
      ...(maxCount === undefined ? {} : { maxCount }),
      ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    },
  };
}
