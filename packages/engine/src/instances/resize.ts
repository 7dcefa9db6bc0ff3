import { formatSize, VivError } from '@vivarium/model';
import { isDiskGrower } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { invalidState } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { limits } from './resolve.ts';

/** @throws VivError for a size that the root disk can't be given, whatever room there is. */
export function judgeGrowth({ driver }: Context, instance: Instance, bytes: number): void {
  const { record, machine } = instance;
  const { diskBytes } = record.spec;
  if (bytes > limits.diskBytes.most)
    throw new VivError('invalid_size', `A disk of ${formatSize(bytes)} is too large`);
  if (bytes < diskBytes) {
    throw new VivError(
      'invalid_size',
      `A disk can't shrink from ${formatSize(diskBytes)} to ${formatSize(bytes)}`,
      { hint: 'Make a new instance with the smaller disk and copy the files.' },
    );
  }
  if (bytes === diskBytes) return;
  if (!['Stopped', 'Running', 'Created', 'Shutdown'].includes(instance.state))
    throw invalidState(instance, 'resize');
  if (machine !== undefined && !isDiskGrower(machine))
    throw new VivError('not_supported', `The ${driver.name} driver can't grow the disk of a live VM`);
}

/** Grows the root disk to what its record says: at once in a running guest, at its next start otherwise. */
export async function growDisk(context: Context, instance: Instance, operation: Operation): Promise<void> {
  const { machine, guest, record } = instance;
  const { diskBytes } = record.spec;
  operation.step('grow the disk');
  if (machine === undefined) await context.disks.grow(instance.dir, diskBytes);
  else if (isDiskGrower(machine)) await machine.growDisk('root', diskBytes);
  if (guest === undefined) return;
  operation.step('grow the file system');
  await guest.growRoot(operation.signal);
}
