import { VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { OwnTimers } from '../service/clock.ts';
import { nextRun, type ScheduleRecord, snapshotName } from './schedule.ts';
import type { SnapshotRoom } from './snapshots.ts';

/** Milliseconds between looks at the wall clock, which may be set while a timer runs. */
const lookMs = 10_000;
/** Milliseconds after which one that failed is tried again, or the interval where that is shorter. */
const againMs = 60_000;
/** Snapshots that are taken at a time: each pauses a VM and writes its memory. */
const atOnce = 2;

/** Takes what is due by the schedules of all instances, and removes what their retention gives up. */
export class SnapshotScheduler implements Disposable {
  readonly #context: Context;
  readonly #room: SnapshotRoom;
  readonly #clock: OwnTimers;
  readonly #running = new Set<Instance>();
  #timer: Disposable | undefined;
  #closed = false;

  constructor(context: Context, room: SnapshotRoom) {
    this.#context = context;
    this.#room = room;
    this.#clock = new OwnTimers(context.clock);
  }

  /** Begins what is due, the longest overdue first, and sees to it that it is called again. Nothing ever overlaps itself. */
  look(): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const now = this.#clock.now();
    const waiting = [...this.#context.instances.all()]
      .filter(({ gone, record }) => !gone && record.snapshotSchedule !== undefined)
      .map((instance) => ({ instance, due: Date.parse(instance.record.snapshotSchedule?.nextRunAt ?? '') }))
      .filter(({ instance }) => !this.#running.has(instance))
      .sort((a, b) => a.due - b.due);
    for (const { instance, due } of waiting) {
      if (due > now) {
        this.#timer = this.#clock.after(Math.min(due - now, lookMs), () => this.look());
        return;
      }
      // The end of one that runs looks again.
      if (this.#running.size >= atOnce) return;
      void this.#run(instance);
    }
  }

  async #run(instance: Instance): Promise<void> {
    const { snapshotSchedule: schedule } = instance.record;
    if (schedule === undefined) return;
    this.#running.add(instance);
    const started = this.#clock.now();
    const told: Partial<ScheduleRecord> = {
      lastRunAt: new Date(started).toISOString(),
      lastError: undefined,
    };
    let again = schedule.intervalMs;
    try {
      const { namePrefix, tags, id } = schedule;
      const name = snapshotName(namePrefix, started);
      const info = await this.#room.create(instance, { name, ...(tags === undefined ? {} : { tags }) }, id);
      told.lastSnapshotId = info.id;
      await this.#prune(schedule, started);
    } catch (thrown) {
      const error = VivError.from(thrown);
      told.lastError = error.toJSON();
      // One that was taken, and only left old ones behind, is not taken again.
      if (told.lastSnapshotId === undefined) again = Math.min(again, againMs);
    }
    this.#running.delete(instance);
    this.#tell(instance, schedule, told, again);
    this.look();
  }

  /** Unless it has been removed or replaced meanwhile: then what it was about is over. */
  #tell(instance: Instance, schedule: ScheduleRecord, told: Partial<ScheduleRecord>, again: number): void {
    if (this.#closed || instance.gone) return;
    const { snapshotSchedule: now } = instance.record;
    if (now?.id !== schedule.id) return;
    const replaced = now.updatedAt !== schedule.updatedAt;
    const nextRunAt = replaced
      ? now.nextRunAt
      : nextRun(this.#clock.now(), again, schedule.jitterMs, this.#clock.random());
    instance.change({ snapshotSchedule: { ...now, ...told, nextRunAt } });
    const { lastError } = told;
    if (lastError !== undefined) {
      const { code, message } = lastError;
      instance.emit('snapshot-failed', { code, message, nextRunAt });
    }
    try {
      this.#context.journal.save(instance.record);
    } catch (error) {
      // It is known until the daemon goes; the next one will be due a little early.
      instance.emit('warning', { message: `The schedule was not stored: ${VivError.from(error).message}` });
    }
  }

  /** Only its own, the oldest first; the newest stays whatever its age. */
  async #prune({ id, retention }: ScheduleRecord, now: number): Promise<void> {
    const { maxCount = Number.POSITIVE_INFINITY, maxAgeMs = Number.POSITIVE_INFINITY } = retention;
    const own = this.#room.ofSchedule(id).toReversed();
    const surplus = own.filter(
      ({ createdAt }, index) => index > 0 && (index >= maxCount || now - Date.parse(createdAt) > maxAgeMs),
    );
    for (const info of surplus.toReversed()) await this.#room.remove(info.id);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#clock[Symbol.dispose]();
  }
}
