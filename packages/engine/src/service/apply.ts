import { VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { writeRecord } from '../store/record.ts';
import { afterExit, stoppedBySomebody, type Verdict } from './restart-rule.ts';

/** The end that was just put into the record is judged; whoever put it there writes the record. */
export function applyPolicy({ clock }: Context, instance: Instance): void {
  const { record } = instance;
  if (record.exit !== undefined) decide(instance, afterExit(record, record.exit, clock.now()));
}

export function decide(instance: Instance, { restart, event }: Verdict): void {
  instance.change({ restart });
  if (event !== undefined) instance.emit(event.type, event.data);
}

/** Somebody wants it stopped: nothing starts it again until somebody does. */
export function holdBack(context: Context, instance: Instance): void {
  const restart = stoppedBySomebody(instance.record);
  if (restart === undefined || instance.gone) return;
  instance.change({ restart });
  persist(context, instance);
}

/** Outside of an operation, for what must not be forgotten with this process. The file beside the disks follows. */
export function persist(context: Context, instance: Instance): void {
  const warn = (error: unknown) =>
    instance.emit('warning', { message: `Not written down: ${VivError.from(error).message}` });
  try {
    context.journal.save(instance.record);
  } catch (error) {
    warn(error);
    return;
  }
  // A directory that is gone, or about to be, needs none.
  if (!instance.gone) writeRecord(instance.dir, instance.record).catch(warn);
}
