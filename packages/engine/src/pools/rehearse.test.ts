import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Guest, GuestExecConnection, GuestExecSpec } from '../guest/guest.ts';
import { rehearse } from './rehearse.ts';

/** A guest that runs one command, and what was done with it. */
function guestWith(output: () => AsyncGenerator<never>): { guest: Guest; did: string[] } {
  const did: string[] = [];
  const session = {
    get output() {
      return output();
    },
    exit: Promise.resolve({ code: 0 }),
    close: async () => void did.push('close'),
  } as unknown as GuestExecConnection;
  const guest = {
    warm: async () => void did.push('warm'),
    exec: async ({ target, argv }: GuestExecSpec) => {
      did.push(`${argv[0]} in ${target}`);
      return session;
    },
  } as unknown as Guest;
  return { guest, did };
}

const all = ['warm', '/proc/self/exe in root', 'close'];
const { signal } = new AbortController();

test('a rehearsal runs the program that every guest has in its workload, and leaves no session', async () => {
  const { guest, did } = guestWith(async function* () {});
  await rehearse(guest, signal);
  assert.deepEqual(did, all);
});

test('a rehearsal that breaks off leaves no session either', async () => {
  const { guest, did } = guestWith(async function* () {
    yield* [];
    throw new Error('lost');
  });
  await assert.rejects(rehearse(guest, signal), /lost/);
  assert.deepEqual(did, all);
});
