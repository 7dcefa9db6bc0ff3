import { writeRecord } from '../store/record.ts';
import { deadlines } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { checkName } from './names.ts';

/** A new name in any state; id, disks and logs stay. @throws VivError `invalid_name`, `name_conflict`. */
export function renameInstance(context: Context, instance: Instance, name: string): Promise<void> {
  checkName(name);
  return context.door.run<void>(
    instance,
    {
      action: 'rename',
      deadlineMs: deadlines.rename,
      check: () => (instance.record.name === name ? { answer: undefined } : undefined),
    },
    async (operation) => {
      const before = instance.record.name;
      context.instances.rename(instance, name);
      operation.undo('take the old name again', async () => {
        context.instances.rename(instance, before);
        context.journal.save(instance.record);
        await writeRecord(instance.dir, instance.record);
      });
      // At once, so that the old name is free in the database as soon as it is here.
      context.journal.save(instance.record);
      await writeRecord(instance.dir, instance.record);
      instance.emit('renamed', { from: before, to: name });
    },
  );
}
