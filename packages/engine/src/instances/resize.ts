import { formatSize, parseSize, VivError } from '@vivarium/model';
import { isDiskGrower } from '../drivers/driver.ts';
import { writeRecord } from '../store/record.ts';
import { deadlines, invalidState } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { limits } from './resolve.ts';

/** Grows the root disk: at once in a running guest, at its next start otherwise. @throws VivError `invalid_size`. */
export function resizeDisk(context: Context, instance: Instance, size: number | string): Promise<void> {
  const bytes = parseSize(size, 'disk size');
  if (bytes > limits.diskBytes.most)
    throw new VivError('invalid_size', `A disk of ${formatSize(bytes)} is too large`);
  return context.door.run<void>(
    instance,
    {
      action: 'resize',
      deadlineMs: deadlines.resize,
      check: () => {
        const { diskBytes } = instance.record.spec;
        if (bytes < diskBytes) {
          throw new VivError(
            'invalid_size',
            `A disk can't shrink from ${formatSize(diskBytes)} to ${formatSize(bytes)}`,
            {
              hint: 'Make a new instance with the smaller disk and copy the files.',
            },
          );
        }
        if (bytes === diskBytes) return { answer: undefined };
        if (!['Stopped', 'Running', 'Created', 'Shutdown'].includes(instance.state))
          throw invalidState(instance, 'resize');
        return undefined;
      },
    },
    async (operation) => {
      const { admission } = context;
      admission.judgeDisk(bytes, await admission.diskCapacity(), instance);
      const before = instance.record.spec;
      // Counted from here on: of two that grow at once one may have to be refused.
      instance.change({ spec: { ...before, diskBytes: bytes } });
      operation.undo('forget the new size', () =>
        instance.change({ spec: { ...instance.record.spec, diskBytes: before.diskBytes } }),
      );
      const { machine, guest } = instance;
      operation.step('grow the disk');
      if (machine === undefined) await context.disks.grow(instance.dir, bytes);
      else if (isDiskGrower(machine)) await machine.growDisk('root', bytes);
      else
        throw new VivError(
          'not_supported',
          `The ${context.driver.name} driver can't grow the disk of a live VM`,
        );
      await writeRecord(instance.dir, instance.record);
      if (guest !== undefined) {
        operation.step('grow the file system');
        await guest.growRoot(operation.signal);
      }
    },
  );
}
