import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VivError } from '@vivarium/model';
import { setGuestClock, watchClock } from './clock.ts';
import type { Instances } from './context.ts';
import type { Instance } from './instance.ts';

/** An instance as far as clocks are concerned. */
function running(setClock: (nanos: bigint) => Promise<void>, state = 'Running') {
  const warnings: unknown[] = [];
  const instance = {
    state,
    guest: { setClock },
    emit: (_type: string, data: unknown) => warnings.push(data),
  };
  return { instance: instance as unknown as Instance, warnings };
}

describe('the clock of guests', () => {
  test('is set to the time of the host', async () => {
    const told: bigint[] = [];
    const { instance } = running(async (nanos) => void told.push(nanos));
    await setGuestClock(instance, () => 1_700_000_000_123);
    assert.deepEqual(told, [1_700_000_000_123_000_000n]);
  });

  test('that can not be set is a warning', async () => {
    const { instance, warnings } = running(async () => {
      throw new VivError('not_supported', 'this agent knows no method clock');
    });
    await setGuestClock(instance);
    assert.match(JSON.stringify(warnings), /knows no method clock/);
  });

  test('is set when the host was, or has slept, and of running guests only', async () => {
    const clocks = { wall: 1000, monotonic: 0, now: () => clocks.wall };
    const told = Promise.withResolvers<bigint>();
    const none = running(async () => assert.fail('a guest that is not running was told'), 'Paused');
    const one = running(async (nanos) => told.resolve(nanos));
    let looked = 0;
    using _ = watchClock({ all: () => [none.instance, one.instance] } as unknown as Instances, {
      everyMs: 1,
      clocks: {
        now: clocks.now,
        monotonic: () => {
          // Both clocks go on evenly for a while; then one is an hour ahead.
          looked += 1;
          clocks.wall += looked === 10 ? 3_600_000 : 1;
          return looked;
        },
      },
    });
    const keepAlive = setInterval(() => undefined, 1000);
    assert.ok((await told.promise) >= 3_600_000_000_000n);
    clearInterval(keepAlive);
    assert.ok(looked >= 10);
  });
});
