import { type ExitInfo, isVivError, VivError } from '@vivarium/model';
import type { ExitRecord, Machine } from '../drivers/driver.ts';
import type { Guest } from '../guest/guest.ts';
import { removeGroup } from '../limits/apply.ts';
import { applyPolicy } from '../service/apply.ts';
import { writeRecord } from '../store/record.ts';
import type { Context } from './context.ts';
import { deleteInstance } from './delete.ts';
import { exitInfo } from './exit-info.ts';
import { flattenSoon } from './flatten.ts';
import type { Instance } from './instance.ts';
import { reconnect } from './reconnect.ts';

/** Milliseconds a foreground run's output may wait for its first reader once the command has ended. */
const firstReaderMs = 30_000;

/** From here on the instance knows what its machine does, without asking. */
export function watchMachine(context: Context, instance: Instance, machine: Machine): void {
  machine.onStatus((status) => {
    if (instance.machine === machine && status !== 'exited') instance.observeMachine(machine, status);
  });
  machine.exited.then(
    (record) => machineExited(context, instance, machine, record),
    (error: unknown) => {
      if (instance.machine !== machine) return;
      instance.latch(new VivError('internal', 'The end of the VMM could not be observed', { cause: error }));
    },
  );
}

/** Keeps the agent's channel: a lost one makes the state Unknown until it is back, or the VMM is gone. */
export function watchGuest(context: Context, instance: Instance, machine: Machine, guest: Guest): void {
  instance.observeGuest(guest);
  guest.onWorkloadExit((exit) => {
    if (exit.id !== 'root') return;
    instance.workloadExit = exit;
    void endAfterWorkload(instance, guest);
  });
  // The channel of a guest that goes off closes a moment before its VMM does: what it means is found out by trying.
  void guest.closed.then(() => {
    if (instance.guest === guest && instance.machine === machine) void reconnect(context, instance, machine);
  });
}

/** The image's own process has ended, and with it the VM; but first whoever reads its output gets the rest of it. */
export async function endAfterWorkload(instance: Instance, guest: Guest): Promise<void> {
  if (instance.record.spec.attach) await instance.readers.drained(firstReaderMs);
  if (
    instance.guest !== guest ||
    instance.operation?.action === 'stop' ||
    instance.operation?.action === 'delete'
  )
    return;
  try {
    await guest.shutdown({ graceMs: 1000, signal: AbortSignal.timeout(5000) });
  } catch (error) {
    // The agent powers the guest off by itself when nobody tells it to; if it can't, a stop by force can.
    instance.emit('warning', {
      message: `The agent did not take the shutdown: ${VivError.from(error).message}`,
    });
  }
}

async function machineExited(
  context: Context,
  instance: Instance,
  machine: Machine,
  record: ExitRecord,
): Promise<void> {
  if (instance.machine !== machine) return;
  // A VMM that ends on the way into or out of saved memory is no end of the VM.
  if (instance.record.suspended === undefined) await keepExit(context, instance, record);
  else instance.change({ phase: 'made' });
  await removeGroup(context, instance);
  instance.ending = undefined;
  instance.still = undefined;
  instance.readers.clear();
  // In one step: a machine without its agent would be one that is coming up.
  const { guest } = instance;
  instance.guest = undefined;
  instance.effects = [];
  instance.observeMachine(undefined);
  await guest?.[Symbol.asyncDispose]();
  await removeAfterExit(context, instance);
  // Where somebody has ended it, they are not done yet, and come back to this themselves.
  void flattenSoon(context, instance);
}

/** The record first: whoever sees Stopped finds the exit there. Where it can't be written, it is looked for again. */
export async function keepExit(context: Context, instance: Instance, record: ExitRecord): Promise<void> {
  const exit = await exitInfo(context, instance, record).catch((error: unknown) =>
    unexplained(instance, record, error),
  );
  instance.change({ phase: 'made', exit, stoppedAt: exit.at });
  instance.emit('exit', { ...exit });
  // Of a start that did not succeed whoever started it is told, and makes of it what is to be made.
  if (instance.operation?.action !== 'start' || instance.guest !== undefined) applyPolicy(context, instance);
  if (instance.gone) return;
  try {
    context.journal.save(instance.record);
    await writeRecord(instance.dir, instance.record);
  } catch (error) {
    instance.emit('warning', {
      message: `Its exit could not be written down: ${VivError.from(error).message}`,
    });
  }
}

function unexplained(instance: Instance, { at, code, signal }: ExitRecord, error: unknown): ExitInfo {
  instance.emit('warning', { message: `Its logs can't be read: ${VivError.from(error).message}` });
  return {
    reason: 'vmm_exited',
    message: 'the VMM ended, and its logs do not say why',
    at,
    vmm: { ...(code === undefined ? {} : { code }), ...(signal === undefined ? {} : { signal }) },
  };
}

/** Removes what was made to be removed at its end, once nobody holds it. */
export async function removeAfterExit(context: Context, instance: Instance): Promise<void> {
  if (!instance.record.spec.autoRemove) return;
  for (;;) {
    // A start that failed is undone by whoever started it; a stop has to be over before its instance may go.
    await instance.held?.ended;
    const { gone, machine, restarts, record } = instance;
    if (gone || machine !== undefined || restarts > 0 || record.exit === undefined) return;
    try {
      return await deleteInstance(context, instance, { force: false });
    } catch (error) {
      // Somebody was faster: a rename, or a start that makes it go on.
      if (isVivError(error, 'busy')) continue;
      instance.emit('warning', { message: `Not removed: ${VivError.from(error).message}` });
      return;
    }
  }
}
