import { setTimeout as delay } from 'node:timers/promises';
import { type ActionResult, type CallOptions, VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { holdBack } from '../service/apply.ts';
import { changed, request } from './actions.ts';
import type { Context } from './context.ts';
import { flattenSoon } from './flatten.ts';
import type { Instance } from './instance.ts';
import { checkStopTimeout } from './times.ts';
import { letRun } from './vcpus.ts';

export interface StopOptions extends CallOptions {
  /** Milliseconds the guest is given before it is forced. Default: the instance's own. */
  timeoutMs?: number;
  /** No asking. */
  force?: boolean;
  /** Its restart policy holds still until the next start. Default true: somebody wants it stopped. */
  holdsBack?: boolean;
}

/** Milliseconds the agent has to agree to a shutdown; it is asked twice. */
const askMs = 1500;
/** What is left of the guest's time when its agent did not answer. */
const deafMs = 500;

/** Any state with a VMM -> Stopping -> Stopped. Interrupts a start. Changes nothing when it is Stopped already. */
export async function stopInstance(
  context: Context,
  instance: Instance,
  options: StopOptions = {},
): Promise<ActionResult> {
  const { timeoutMs = instance.record.spec.stopTimeoutMs, force = false, holdsBack = true } = options;
  checkStopTimeout(timeoutMs);
  // A start that is cut short has gone back to Stopped by the time we are let in: the caller's stop did that.
  // From saved memory it has gone back to Suspended.
  const cutShort = ['start', 'prepare'].includes(instance.operation?.action ?? '');
  const { check, ...rest } = request(instance, 'stop', options, {
    force,
    parameters: { timeoutMs, force },
    hint:
      instance.state === 'Suspended'
        ? 'It has no VMM; to give its saved memory up, discard it (`viv discard`).'
        : 'Only a forced stop (`viv stop --force`) or a delete leads out of this state.',
  });
  const result = await context.door.run<ActionResult>(
    instance,
    {
      ...rest,
      check: () => {
        if (cutShort && instance.state === 'Suspended')
          return { answer: { changed: true, state: 'Suspended' } };
        const nothing = check?.();
        return nothing && { answer: { ...nothing.answer, changed: cutShort } };
      },
    },
    (operation) => {
      // Before anything is done: it holds also where this process dies in the middle.
      if (holdsBack) holdBack(context, instance);
      return stopNow(context, instance, operation, { timeoutMs, force });
    },
  );
  // It was down already, and its policy was about to start it.
  if (holdsBack) holdBack(context, instance);
  void flattenSoon(context, instance);
  return result;
}

/** The stop itself, for whoever holds the instance. */
export async function stopNow(
  context: Context,
  instance: Instance,
  operation: Operation,
  { timeoutMs, force }: { timeoutMs: number; force: boolean },
): Promise<ActionResult> {
  const { machine } = instance;
  const status = instance.state;
  instance.enter('Stopping');
  if (machine !== undefined) {
    instance.ending = force ? 'killed' : 'stopped';
    if (!force && (await endedByAsking(context, instance, machine, status, operation, timeoutMs))) {
      operation.step('wait for the VMM to be gone');
    } else {
      instance.ending = 'killed';
      operation.step('kill the VMM');
      operation.progress({ stage: 'stopping', step: 'by force' });
      await provenDead(instance, machine);
    }
    await instance.machineGone(machine);
  }
  instance.change({ error: undefined });
  instance.leave();
  operation.progress({ stage: 'stopped', exit: instance.record.exit });
  return changed(instance);
}

/** True when the guest went by itself within its time. */
async function endedByAsking(
  context: Context,
  instance: Instance,
  machine: Machine,
  state: string,
  operation: Operation,
  timeoutMs: number,
): Promise<boolean> {
  // A guest that has not booted, or is off already, has nothing to say goodbye to.
  if (state === 'Created' || state === 'Shutdown') return false;
  if (state === 'Paused') {
    operation.step('resume the guest, so that it can shut down');
    await letRun(context, instance, machine, operation).catch((error: unknown) => {
      instance.emit('warning', { message: VivError.from(error).message });
    });
  }
  operation.step('ask the guest to shut down');
  operation.progress({ stage: 'stopping', step: 'asking the guest' });
  const asked = await ask(instance, timeoutMs, operation.signal);
  operation.step('wait for the guest to shut down');
  const exited = await Promise.race([
    machine.exited.then(() => true),
    delay(asked ? timeoutMs + askMs : Math.min(deafMs, timeoutMs), false, {
      signal: operation.signal,
      ref: false,
    }),
  ]);
  return exited;
}

async function ask(instance: Instance, graceMs: number, cancelled: AbortSignal): Promise<boolean> {
  for (let attempt = 1; attempt <= 2 && instance.guest !== undefined; attempt++) {
    try {
      await instance.guest.shutdown({
        graceMs,
        signal: AbortSignal.any([cancelled, AbortSignal.timeout(askMs)]),
      });
      return true;
    } catch (error) {
      cancelled.throwIfAborted();
      instance.emit('warning', {
        message: `The agent did not take the shutdown: ${VivError.from(error).message}`,
      });
    }
  }
  return false;
}

/** @throws what makes the instance Error: a VMM that can't be proven dead keeps its record and its disks. */
async function provenDead(instance: Instance, machine: Machine): Promise<void> {
  try {
    await machine.kill();
  } catch (cause) {
    const error = new VivError('vmm_failed', `The VMM of ${instance.record.name} can't be proven dead`, {
      hint: `Look at process ${machine.record.vmm.pid}, then force the stop again.`,
      details: { vmm: machine.record.vmm },
      cause,
    });
    instance.latch(error);
    throw error;
  }
}
