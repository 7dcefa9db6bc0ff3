import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Tracked } from './tracked.ts';

it('one watcher that leaves keeps no other from sleeping until there is news', async () => {
  const tracked = new Tracked({ action: 'start', cancel: () => undefined });
  const leaver = new AbortController();
  const left = Array.fromAsync(tracked.watch(leaver.signal));
  const stayed = Array.fromAsync(tracked.watch());
  leaver.abort();
  assert.deepEqual(await left, []);
  const late = Array.fromAsync(tracked.watch());
  // A watcher that looks again and again would leave no turn for this.
  await new Promise((resolve) => setImmediate(resolve));
  tracked.stepped('boot the guest');
  tracked.end({ outcome: 'done' });
  for (const updates of [await stayed, await late])
    assert.deepEqual([updates.length, updates[0]], [2, { step: 'boot the guest' }]);
});
