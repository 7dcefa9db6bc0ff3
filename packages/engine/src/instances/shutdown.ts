import { type ActionResult, type CallOptions, VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import { holdBack } from '../service/apply.ts';
import { changed, invalidState, request } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { letRun } from './vcpus.ts';

/** Running or Paused -> Shutdown: the guest is off and its VMM stays. */
export async function shutdownInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  if (!context.driver.capabilities().shutdownKeepsVmm) {
    throw new VivError(
      'not_supported',
      `The ${context.driver.name} driver can't keep a VMM whose guest is off`,
    );
  }
  return context.door.run(instance, request(instance, 'shutdown', call), async (operation) => {
    const { machine } = instance;
    holdBack(context, instance);
    if (machine === undefined) throw invalidState(instance, 'shutdown');
    operation.step('keep the VMM');
    await machine.onGuestOff('keep');
    operation.undo('end the VMM with the guest again', () => machine.onGuestOff('exit'));
    if (instance.state === 'Paused') {
      await letRun(context, instance, machine, operation);
    }
    const { guest } = instance;
    operation.step('wait for the guest to be off');
    const off = guestOff(machine, operation.signal);
    const graceMs = instance.record.spec.stopTimeoutMs;
    if (guest === undefined) await machine.powerdown();
    else
      await guest.shutdown({
        graceMs,
        signal: AbortSignal.any([operation.signal, AbortSignal.timeout(5000)]),
      });
    await off;
    instance.observeMachine(machine, 'shutdown');
    const gone = instance.guest;
    instance.observeGuest(undefined);
    await gone?.[Symbol.asyncDispose]();
    return changed(instance);
  });
}

function guestOff(machine: Machine, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = machine.onStatus((status) => {
    if (status === 'shutdown') resolve();
    if (status === 'exited') reject(new VivError('vmm_failed', 'The VMM exited together with the guest'));
  });
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const off = promise.finally(() => {
    unsubscribe();
    signal.removeEventListener('abort', abort);
  });
  // Where the guest could not even be asked nobody waits for this any more, and its VMM may end much later.
  off.catch(() => undefined);
  return off;
}
