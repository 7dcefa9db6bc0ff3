import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { booting } from './provoked/booting.ts';
import { ending } from './provoked/ending.ts';
import { launching } from './provoked/launching.ts';
import { opening } from './provoked/opening.ts';
import { ordering } from './provoked/ordering.ts';
import { pluggingFaults } from './provoked/plugging.ts';
import type { Provocation, Provocations } from './provoked/provocation.ts';
import { saving } from './provoked/saving.ts';
import { Stage } from './provoked/stage.ts';
import { allFaultPoints, type Effect, type FaultPointName, faultPoints } from './simulated/index.ts';

const everything: Provocations<FaultPointName> = {
  ...launching,
  ...booting,
  ...ordering,
  ...opening,
  ...ending,
  ...saving,
  ...pluggingFaults,
};

/** Every fault that the simulated driver can be given, once with a real QEMU. */
describe('a fault of the simulated driver, met by a real machine', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.open();
  });
  afterEach(() => stage.clear());
  after(() => stage[Symbol.asyncDispose]());

  for (const point of allFaultPoints) {
    const known: Partial<Record<Effect, Provocation>> = everything[point] ?? {};
    for (const effect of faultPoints[point].effects) {
      const provocation = known[effect] ?? (() => assert.fail('nobody has written how to provoke it'));
      if (typeof provocation === 'string') {
        test(`${point}, ${effect}: left out, because ${provocation}`, (t) => t.diagnostic(provocation));
      } else {
        test(`${point}, ${effect}`, () => provocation(stage));
      }
    }
  }

  test('is one that the simulated driver knows', () => {
    const provoked = Object.entries(everything).map(([point, effects]) => [
      point,
      Object.keys(effects).sort(),
    ]);
    const known = allFaultPoints.map((point) => [point, [...faultPoints[point].effects].sort()]);
    assert.deepEqual(provoked.sort(), known.sort());
  });
});
