import { type InstanceRecord, writeRecord } from '../store/record.ts';
import { deadlines } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { growDisk } from './resize.ts';

/** What of a record can be changed. */
type Changeable = Pick<
  InstanceRecord,
  'name' | 'spec' | 'expiresAt' | 'restart' | 'pendingChanges' | 'snapshotSchedule'
>;

export interface RecordChange {
  next: Partial<Changeable>;
  /** What the event `updated` tells of; where there is none, there is no event. A new name has an event of its own. */
  fields: readonly string[];
}

/**
 * Changes what is asked for, all of it or nothing: with the instance in hand, so that no other operation that is undone takes it back.
 * `judge` throws to refuse; where it answers undefined there is nothing to do.
 *
 * @throws VivError `busy`, `not_found`, `name_conflict`, and what a disk can't be grown for.
 */
export async function changeRecord(
  context: Context,
  instance: Instance,
  judge: (record: InstanceRecord) => RecordChange | undefined,
  action: 'update' | 'rename' | 'resize' = 'update',
): Promise<void> {
  let change: RecordChange | undefined;
  await context.door.run<void>(
    instance,
    {
      action,
      deadlineMs: deadlines[action],
      check: () => {
        change = judge(instance.record);
        return change === undefined ? { answer: undefined } : undefined;
      },
    },
    async (operation) => {
      const { next, fields } = change as RecordChange;
      const { record } = instance;
      const { name = record.name, ...values } = next;
      // In the turn in which it was judged: of two that want the same one may have to be refused.
      const free = context.instances.claim(instance, name);
      operation.undo('give the new name up', free);
      const before = Object.fromEntries(
        Object.keys(values).map((key) => [key, record[key as keyof Changeable]]),
      );
      operation.undo('take the old values again', async () => {
        instance.change(before);
        await writeRecord(instance.dir, instance.record);
      });
      instance.change(values);
      // Nothing is written before the one step that can fail for reasons of its own.
      if (instance.record.spec.diskBytes !== record.spec.diskBytes)
        await growDisk(context, instance, operation);
      if (name !== record.name) {
        operation.undo('take the old name again', () => {
          context.instances.rename(instance, record.name);
          context.journal.save({ ...instance.record, ...before });
        });
        context.instances.rename(instance, name);
        // At once, so that the old name is free in the database as soon as it is here.
        context.journal.save(instance.record);
      }
      await writeRecord(instance.dir, instance.record);
      if (name !== record.name) instance.emit('renamed', { from: record.name, to: name });
      if (fields.length > 0) instance.emit('updated', { fields });
    },
  );
}
