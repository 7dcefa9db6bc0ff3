import { setTimeout as sleep } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import type { ExitRecord, MachineRecord } from '../driver.ts';
import { sockets } from './command-line.ts';
import { relayPorts } from './forwarding.ts';
import { QemuMachine } from './machine.ts';
import { QmpClient } from './qmp.ts';
import type { MachineFile } from './record.ts';
import type { Restoring } from './restore.ts';
import type { SavingMeans } from './save.ts';
import type { ShimClient } from './shim-client.ts';
import { Unmet } from './source.ts';
import { statusFrom } from './status.ts';
import { isNotListening } from './unix-socket.ts';

/** From the start of the process to QMP's greeting: 40 ms on an idle host. */
const greetingTimeoutMs = 20_000;

/**
 * From a running shim to a machine that takes orders. A fresh VMM opens its socket in its own time; it is asked until it
 * does, or has ended. `load`: has it become what was saved, and answers what `query-status` told then; is given what ends every wait.
 *
 * @throws VivError `vmm_failed`, or the signal's reason; Unmet where `load` does.
 */
export async function attach(
  record: MachineRecord,
  shim: ShimClient,
  { guestPorts, shape }: Pick<MachineFile, 'guestPorts' | 'shape'>,
  {
    signal,
    load,
    means,
  }: {
    signal?: AbortSignal;
    load?: (vmm: Restoring, waiting: AbortSignal) => Promise<unknown>;
    means: SavingMeans;
  },
): Promise<QemuMachine> {
  const ended = new AbortController();
  let exit: ExitRecord | undefined;
  shim.exit.then((told) => {
    exit = told;
    ended.abort();
  });
  const deadline = AbortSignal.timeout(greetingTimeoutMs);
  const waiting = AbortSignal.any([ended.signal, ...(signal ? [signal] : [])]);
  let qmp: QmpClient | undefined;
  try {
    qmp = await greet(record.dir, AbortSignal.any([waiting, deadline]));
    // Side by side, and each in its turn: QEMU answers in the order in which it is asked.
    const [status] = await Promise.all([
      load ? load(speakers(qmp, shim), waiting) : qmp.execute('query-status'),
      // As on the command line: whoever had the machine before may have been killed while it started over.
      qmp.execute('set-action', { reboot: 'shutdown' }),
      relayPorts(qmp, shim, guestPorts),
    ]);
    return new QemuMachine({ record, shape, ...means }, shim, qmp, statusFrom(status));
  } catch (cause) {
    qmp?.close();
    signal?.throwIfAborted();
    if (cause instanceof Unmet) throw cause;
    if (ended.signal.aborted || (await endsSoon(ended.signal))) throw earlyEnd(exit, cause);
    if (deadline.aborted)
      throw new VivError('vmm_failed', 'QEMU did not open its control socket in time', { cause });
    throw VivError.from(cause);
  }
}

const speakers = (qmp: QmpClient, shim: ShimClient): Restoring => ({
  execute: (command: string, args?: object) => qmp.execute(command, args),
  shim: (method: string, params: object, timeoutMs: number) => shim.request(method, params, timeoutMs),
});

async function greet(dir: string, stop: AbortSignal): Promise<QmpClient> {
  for (;;) {
    stop.throwIfAborted();
    try {
      return await QmpClient.connect(dir, sockets.qmp, { signal: stop, timeoutMs: greetingTimeoutMs });
    } catch (error) {
      if (stop.aborted || !isNotListening(error)) throw error;
    }
    await sleep(2, undefined, { signal: stop });
  }
}

/** A lost control socket is heard of a moment before the shim has written its record. */
async function endsSoon(ended: AbortSignal): Promise<boolean> {
  try {
    await sleep(1_000, undefined, { signal: ended });
    return false;
  } catch (error) {
    if (ended.aborted) return true;
    throw error;
  }
}

export function earlyEnd(exit: ExitRecord | undefined, cause: unknown): VivError {
  const how = exit?.signal ?? `exit code ${exit?.code ?? 'unknown'}`;
  const said = exit?.stderr.trim();
  return new VivError('vmm_failed', `QEMU ended as it started (${how})${said ? `: ${said}` : ''}`, {
    details: { exit },
    cause,
  });
}
