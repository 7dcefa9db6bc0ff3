import { setTimeout as sleep } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import { isAlive } from '../../host/identity.ts';
import type { ExitRecord } from '../driver.ts';
import { attach } from './attach.ts';
import { readExit } from './exit-record.ts';
import { type QemuMachine, settleExit } from './machine.ts';
import { hasLaunchFile, machineRecord, readMachineFile, readShimFile, type ShimFile } from './record.ts';
import type { SavingMeans } from './save.ts';
import { ShimClient } from './shim-client.ts';
import { isNotListening } from './unix-socket.ts';

/** From a shim's start to its first record: milliseconds. Whoever launched it may have been killed in between. */
const startingTimeoutMs = 1_000;
/** From its first record to the one that names its VMM: one fork and two fsyncs. */
const spawningTimeoutMs = 10_000;

/** The machine of a directory: alive, ended, or never there. Processes are never started, and only those of the record ended. */
export async function adopt(dir: string, means: SavingMeans): Promise<QemuMachine | ExitRecord | undefined> {
  const machine = await readMachineFile(dir);
  if (!machine || !(await hasLaunchFile(dir))) return undefined;
  const found = await findShim(dir);
  if (!found) return undefined;
  const client = await connect(dir, found);
  if (!client) return settleExit({ dir, shim: found.shim, vmm: found.vmm });
  try {
    const shim = await withVmm(dir, found);
    if (!shim) return await settleAfter(client, dir, found);
    const record = machineRecord(dir, machine, shim);
    return await attach(record, client, machine, { means });
  } catch (error) {
    const ended = await Promise.race([client.exit, Promise.resolve(undefined)]);
    client.close();
    if (ended) return ended;
    throw error;
  }
}

/** The record of the shim, which one that is only just starting has yet to write. */
async function findShim(dir: string): Promise<ShimFile | undefined> {
  const deadline = performance.now() + startingTimeoutMs;
  for (;;) {
    const shim = await readShimFile(dir);
    if (shim || (await readExit(dir)) || performance.now() > deadline) return shim;
    await sleep(5);
  }
}

/** Undefined where the shim of the record does not live any more. */
async function connect(dir: string, { shim }: ShimFile): Promise<ShimClient | undefined> {
  const deadline = performance.now() + startingTimeoutMs;
  while (await isAlive(shim)) {
    try {
      return await ShimClient.connect(dir);
    } catch (error) {
      // It is about to end, and has unlinked its socket or closed our connection.
      const ending = isNotListening(error) || (error instanceof VivError && error.code === 'vmm_failed');
      if (!ending) throw error;
      if (performance.now() > deadline) {
        throw new VivError('vmm_failed', `The shim (pid ${shim.pid}) does not answer`, { cause: error });
      }
    }
    await sleep(5);
  }
  return undefined;
}

async function withVmm(
  dir: string,
  shim: ShimFile,
): Promise<(ShimFile & { vmm: NonNullable<ShimFile['vmm']> }) | undefined> {
  const deadline = performance.now() + spawningTimeoutMs;
  let current: ShimFile | undefined = shim;
  while (current && !current.vmm && (await isAlive(shim.shim)) && performance.now() < deadline) {
    await sleep(5);
    current = await readShimFile(dir);
  }
  return current?.vmm ? { ...current, vmm: current.vmm } : undefined;
}

async function settleAfter(client: ShimClient, dir: string, { shim }: ShimFile): Promise<ExitRecord> {
  client.close();
  return settleExit({ dir, shim });
}
