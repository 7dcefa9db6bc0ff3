import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ErrorCode } from '@vivarium/model';
import type { Guest, GuestExecConnection } from '../../guest/guest.ts';
import { readSavedState, writeManifest } from '../../saved-states/manifest.ts';
import {
  type Inherited,
  isMachineSaver,
  type Machine,
  type MachineSaver,
  type SavedState,
  type SaveTarget,
} from '../driver.ts';
import { type Bench, withCode } from './bench.ts';

/** It fails, and nothing is left of it. */
export async function refused(bench: Bench, restore: () => Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(restore(), withCode(code));
  assert.deepEqual(await bench.context.leftovers(), []);
}

/** A machine in which a process counts the lines it is sent, and has counted one. */
export async function counting(bench: Bench): Promise<Machine & MachineSaver> {
  const machine = await bench.launchSpec(await bench.context.countingSpec());
  assert(isMachineSaver(machine));
  const guest = await bench.connect(machine);
  const { counter } = bench.context;
  const session = await guest.exec({ execId, target: 'vm', argv: counter, env: {}, stdin: true });
  await hear(session, '1\n');
  await guest[Symbol.asyncDispose]();
  return machine;
}

const execId = 'counter';

/** The process, which has counted so many lines, counts the next one. Whoever heard it before may be gone. */
export async function goesOn(guest: Guest, counted: number): Promise<void> {
  // Each number is a digit and the end of a line.
  const session = await guest.resumeExec(execId, { stdout: BigInt(2 * counted), stderr: 0n });
  await hear(session, `${counted + 1}\n`);
}

/** Has the process count on, and hears just that. */
export async function hear(
  session: Pick<GuestExecConnection, 'write' | 'output' | 'detach'>,
  wanted: string,
): Promise<void> {
  await session.write(Buffer.from('\n'));
  let heard = '';
  for await (const { data } of session.output) {
    heard += Buffer.from(data).toString();
    if (heard.length >= wanted.length) break;
  }
  assert.equal(heard, wanted);
  session.detach();
}

/** Goes with its directory. */
export interface Kept extends SavedState, AsyncDisposable {}

/** Saves a machine into a directory of its own, which goes with what is answered. */
export async function saved(
  machine: Machine,
  {
    afterwards = 'continue',
    atPause,
    ready,
    foreseen,
  }: Pick<Partial<SaveTarget>, 'afterwards' | 'atPause' | 'ready'> & {
    foreseen?: (dir: string, known: Inherited) => void;
  } = {},
): Promise<Kept> {
  assert(isMachineSaver(machine));
  const dir = await mkdtemp(path.join(path.dirname(machine.record.dir), 'saved-'));
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    const guest = { generation: 1, hostname: 'web', machineId: '0'.repeat(32) };
    const { manifest, pauseMilliseconds } = await machine.save({
      dir,
      guest,
      afterwards,
      atPause,
      ready,
      foreseen: async (known) => foreseen?.(dir, known),
    });
    assert(pauseMilliseconds >= 0);
    await writeManifest(dir, manifest, { durable: false });
    const state = await readSavedState(dir);
    assert.deepEqual(state, { dir, manifest });
    return { dir, manifest, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
