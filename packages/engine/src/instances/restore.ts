import { VivError } from '@vivarium/model';
import { type ExpectedState, isPortHolder, type Machine, type SavedState } from '../drivers/driver.ts';
import type { Guest, RestoredIdentity } from '../guest/guest.ts';
import type { Operation } from '../operations/operation.ts';
import { damaged, readSavedState } from '../saved-states/manifest.ts';
import { savedDir } from './capture.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { connect, launch, warnOfTime } from './launch.ts';
import { guestIdentity } from './machine-spec.ts';
import { atRest } from './standstill.ts';
import { dropTops, settleSuspended } from './suspend.ts';
import { endAfterWorkload, watchGuest } from './watch.ts';

/** Milliseconds a restored agent has to say something: it was answering when it was saved. */
const answerMs = 20_000;

/** Suspended -> Restoring -> Running or Paused, as it was. A failure leaves what was saved untouched. */
export async function restoreSuspended(
  context: Context,
  instance: Instance,
  operation: Operation,
): Promise<void> {
  const { suspended } = instance.record;
  if (suspended === undefined) throw new VivError('internal', 'There is no saved memory');
  instance.enter('Restoring');
  operation.progress({ stage: 'restoring', from: 'saved' });
  const state = await readSavedState(savedDir(instance));
  if (state === undefined) throw damaged(savedDir(instance), 'it is not there');
  await settleSuspended(context, instance);
  operation.undo('take back what was written to the disk', () => dropTops(context, instance));
  await resurrect(context, instance, operation, state, {
    state: suspended.was,
    frozen: suspended.frozen,
    identity: { copy: suspended.copy === true, resetConnections: true },
  });
  instance.change({ suspended: undefined });
}

export interface Resurrection {
  /** What it is brought to. */
  state: 'running' | 'paused';
  /** Whether its workloads were frozen before the save. Those of one that was not run as soon as its vCPUs do. */
  frozen: boolean;
  /** Called once nothing of what was saved is read any more. */
  loaded?: () => void;
  identity: Pick<RestoredIdentity, 'copy' | 'resetConnections'>;
}

/**
 * A machine out of saved memory, its agent told who it is, and only then its workloads let go. One that is to be paused keeps them
 * frozen: the resume lets them go.
 */
export async function resurrect(
  context: Context,
  instance: Instance,
  operation: Operation,
  saved: SavedState | ExpectedState,
  { state, frozen, loaded, identity }: Resurrection,
): Promise<void> {
  // Paused without its agent: there is nobody to tell, and nothing may run.
  const asleep = state === 'paused' && !frozen;
  const machine = await launch(context, instance, operation, {
    run: !asleep,
    from: saved,
    fromMemory: true,
    holdPorts: true,
  });
  loaded?.();
  if (asleep) {
    await letThrough(instance, machine);
    instance.leave();
    return;
  }
  const guest = await introduced(context, instance, operation, machine, {
    ...identity,
    thaw: state === 'running',
  });
  if (state === 'paused') {
    // Its workloads have been frozen since the save.
    const still = atRest(await guest.standStill({ freeze: true }, operation.signal));
    await machine.pause();
    instance.observeMachine(machine, 'paused');
    instance.still = still;
    instance.change({ frozen: true });
  }
  // Not before the connections of its past have been ended: one that came sooner would be taken for one of them.
  await letThrough(instance, machine);
  watchGuest(context, instance, machine, guest);
  if (state === 'running' && instance.workloadExit !== undefined) void endAfterWorkload(instance, guest);
}

async function letThrough({ record }: Instance, machine: Machine): Promise<void> {
  if (record.ports.length > 0 && isPortHolder(machine)) await machine.releasePorts();
}

/** An agent that knows who it is. */
async function introduced(
  context: Context,
  instance: Instance,
  operation: Operation,
  machine: Machine,
  { thaw, ...identity }: Resurrection['identity'] & { thaw: boolean },
): Promise<Guest> {
  operation.step('greet the agent');
  const patience = AbortSignal.any([operation.signal, AbortSignal.timeout(answerMs)]);
  const guest = await connect(context, machine, patience);
  operation.undo('let go of the agent', async () => {
    await guest[Symbol.asyncDispose]();
  });
  operation.step('tell the guest who it is');
  const { record } = instance;
  const { signal } = operation;
  // All at once. The agent sees to the order: nothing of the user's runs before it knows who it is.
  const told = guest.identity({ ...guestIdentity(record, machine.record), ...identity }, signal);
  const others = [
    // A workload may have ended in the instant before the save.
    guest.workloadExit('root', signal),
    ...(thaw ? [guest.thaw(signal, record.generation)] : []),
  ] as const;
  // The first failure says why, and comes first.
  for (const other of others) other.catch(() => undefined);
  warnOfTime(instance, machine, await told);
  const [exit] = await Promise.all(others);
  instance.workloadExit = exit ?? undefined;
  return guest;
}
