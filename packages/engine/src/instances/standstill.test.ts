import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { VivError } from '@vivarium/model';
import type { Machine, MachineStatus } from '../drivers/driver.ts';
import type { Instance } from './instance.ts';
import { letWorkloadsRun, type Standstill } from './standstill.ts';

describe('a guest that stood still for a save', () => {
  let statuses: MachineStatus[];
  let told: number;
  let answer: () => void;
  let observed: unknown[];
  const machine = { status: async () => statuses.shift() ?? 'running' } as Partial<Machine> as Machine;
  const still: Standstill = {
    frozen: true,
    goOn: async () => {
      told += 1;
      answer();
    },
  };
  const instance: Parameters<typeof letWorkloadsRun>[0] = {
    machine,
    still: undefined,
    observeMachine: (...what) => void observed.push(what),
    change: (what: Partial<Instance['record']>) => void observed.push(what),
  };
  beforeEach(() => {
    [statuses, told, observed] = [[], 0, []];
    answer = () => undefined;
    instance.still = undefined;
  });

  const late = () => {
    throw new VivError('timeout', 'no answer');
  };
  const paused = [[machine, 'paused'], { frozen: true }];

  test('goes on at once where it runs', async () => {
    await letWorkloadsRun(instance, still);
    assert.deepEqual([told, observed, instance.still], [1, [], undefined]);
  });

  test('goes on with the resume where its VMM has paused it', async () => {
    statuses = ['paused'];
    await letWorkloadsRun(instance, still);
    assert.deepEqual([told, observed, instance.still], [0, paused, still]);
  });

  test('that is paused while it is told is Paused, and is told again by the resume', async () => {
    statuses = ['running', 'paused'];
    answer = late;
    await letWorkloadsRun(instance, still);
    // What was once tried is not tried again: without it the agent is asked anew.
    assert.deepEqual([told, observed, instance.still], [1, paused, undefined]);
  });

  test('that runs and does not answer is an error', async () => {
    answer = late;
    await assert.rejects(letWorkloadsRun(instance, still), { code: 'timeout' });
    assert.deepEqual(observed, []);
  });
});
