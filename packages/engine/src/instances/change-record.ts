import { type InstanceRecord, writeRecord } from '../store/record.ts';
import { deadlines } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';

/** What of a record can be changed in any state. */
export type Changeable = Pick<
  InstanceRecord,
  'spec' | 'expiresAt' | 'restart' | 'pendingChanges' | 'snapshotSchedule'
>;

/**
 * Changes what is asked for, all of it or nothing: with the instance in hand, so that no other operation that is undone takes it back.
 * `change` throws to refuse; `fields` are what the event tells of.
 *
 * @throws VivError `busy`, `not_found`.
 */
export async function changeRecord(
  context: Context,
  instance: Instance,
  fields: readonly string[],
  change: (record: InstanceRecord) => Partial<Changeable>,
): Promise<void> {
  let next: Partial<Changeable> = {};
  await context.door.run<void>(
    instance,
    {
      action: 'update',
      deadlineMs: deadlines.update,
      check: () => {
        next = change(instance.record);
        return undefined;
      },
    },
    async (operation) => {
      const { record } = instance;
      const before = Object.fromEntries(
        Object.keys(next).map((key) => [key, record[key as keyof Changeable]]),
      );
      operation.undo('take the old values again', async () => {
        instance.change(before);
        await writeRecord(instance.dir, instance.record);
      });
      instance.change(next);
      await writeRecord(instance.dir, instance.record);
      instance.emit('updated', { fields });
    },
  );
}
