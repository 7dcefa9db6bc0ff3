import { VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { GuestAtRest } from '../guest/guest.ts';
import type { Operation } from '../operations/operation.ts';
import type { Instance } from './instance.ts';

/** Milliseconds the agent has to freeze its workloads, and to say that it has heard everything. */
const answerMs = 5000;

/** A guest in which nothing of the user's runs, and to which nothing is on its way. */
export interface Standstill {
  /** False: the guest could not be asked, and what ran in it runs on in a copy before that knows who it is. */
  frozen: boolean;
  /** Lets the workloads run, at the right time, and sends what has waited. Does it once. */
  goOn(): Promise<void>;
}

const asItWas: Standstill = { frozen: false, goOn: async () => undefined };

/**
 * Before a save: whatever is restored from it stands still until it has been told who it is. A paused guest stands still already,
 * and stays so. The undo lets it run again.
 *
 * @throws VivError `identity_unsafe` where the agent does not answer, unless `unsafe`.
 */
export async function standStill(
  instance: Instance,
  operation: Operation,
  { unsafe = false }: { unsafe?: boolean } = {},
): Promise<Standstill> {
  operation.step('freeze the workloads');
  if (instance.state === 'Paused') {
    const frozen = instance.record.frozen === true;
    if (!frozen && !unsafe) throw unsafeIdentity(instance);
    return { ...asItWas, frozen };
  }
  const { guest, machine } = instance;
  try {
    if (guest === undefined) throw new VivError('agent_unreachable', 'nobody speaks to its agent');
    const signal = AbortSignal.any([operation.signal, AbortSignal.timeout(answerMs)]);
    const still = atRest(await guest.standStill({ freeze: true }, signal));
    operation.undo('let the workloads run', () =>
      unlessEnded(machine, () => letWorkloadsRun(instance, still)),
    );
    return still;
  } catch (cause) {
    operation.signal.throwIfAborted();
    if (!unsafe) throw unsafeIdentity(instance, cause);
    instance.emit('warning', { message: `Not frozen: ${VivError.from(cause).message}` });
    return asItWas;
  }
}

/**
 * A guest that its VMM has paused meanwhile, because its disk is full, can't be told: it is Paused with its workloads frozen, and
 * the resume lets them go.
 */
export async function letWorkloadsRun(
  instance: Pick<Instance, 'machine' | 'still' | 'observeMachine' | 'change'>,
  still: Standstill,
): Promise<void> {
  const { machine } = instance;
  const isPaused = async () => machine !== undefined && (await machine.status()) === 'paused';
  if (await isPaused()) {
    instance.still = still;
  } else {
    try {
      await still.goOn();
      return;
    } catch (error) {
      if (!(await isPaused())) throw error;
    }
  }
  instance.observeMachine(machine, 'paused');
  instance.change({ frozen: still.frozen });
}

/** Of a guest whose workloads were frozen. */
export function atRest(guest: GuestAtRest): Standstill {
  return {
    frozen: true,
    goOn: () =>
      guest.goOn({
        clockNanos: BigInt(Date.now()) * 1_000_000n,
        signal: AbortSignal.timeout(answerMs),
      }),
  };
}

/** A step back in a machine that may have ended: then there is nothing left that could go on. */
export async function unlessEnded(machine: Machine | undefined, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (machine === undefined || (await machine.status()) !== 'exited') throw error;
  }
}

function unsafeIdentity(instance: Instance, cause?: unknown): VivError {
  const why = cause === undefined ? 'it was paused without its agent' : VivError.from(cause).message;
  return new VivError('identity_unsafe', `${instance.record.name} can't be told that it is a copy: ${why}`, {
    hint: 'Copy it all the same with --unsafe-identity, or stop it first.',
    cause,
  });
}
