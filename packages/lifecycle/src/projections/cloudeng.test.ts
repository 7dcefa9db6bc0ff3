import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryVm } from '../../test/memory-vm.ts';
import { allowed } from '../transition.ts';
import { cloudeng } from './cloudeng.ts';
import {
  CloudengError,
  CloudengInstance,
  type CloudengState,
  cleanupVm,
  cloudengActions,
  cloudengAllowed,
  cloudengPrintStates,
  cloudengStates,
  cloudengTable,
  cloudengToUnified,
  cloudengTransition,
  cloudengValidActions,
  statesFor,
} from './index.ts';

/** The page's table, written down a second time, so that a slip in the data shows. */
const page: Record<CloudengState, string> = {
  Initial: 'Clone -> Cloning, Delete -> Deleting',
  Cloning: 'None -> Cloning',
  Starting: 'None -> Starting',
  Running: 'Stop -> Stopping, Suspend -> Suspending',
  Stopping: 'None -> Stopping',
  Stopped: 'Start -> Starting, Stop -> Stopped, Delete -> Deleting',
  Suspending: 'None -> Suspending',
  Suspended: 'Start -> Starting, Suspend -> Suspended, Delete -> Deleting',
  Deleting: 'None -> Deleting',
  Deleted: 'Clone -> Cloning',
  ErrorUnknown: 'Delete -> Deleting',
};

const transients: CloudengState[] = ['Cloning', 'Starting', 'Stopping', 'Suspending', 'Deleting'];

describe('cloudeng scenario 1: the table', () => {
  for (const state of cloudengStates) {
    for (const action of cloudengActions) {
      test(`${action} in ${state} is what the page says`, () => {
        const said = page[state].split(', ').find((step) => step.startsWith(`${action} -> `));
        assert.equal(cloudengAllowed(state, action), said !== undefined);
        assert.equal(cloudengTransition(state, action), said?.split(' -> ')[1] ?? state);
        assert.equal(cloudengValidActions(state).includes(action), said !== undefined);
      });
    }
  }

  test('the printed table has a line for each state', () => {
    const lines = cloudengPrintStates().split('\n');
    assert.deepEqual(
      lines.map((line) => line.split(/ {2,}/)),
      cloudengStates.map((state) => [state, page[state]]),
    );
  });

  test('whatever it allows the unified table allows in the state that shows so', () => {
    const plain = { Initial: 'Defined', ErrorUnknown: 'Error' } as const;
    for (const state of cloudengStates.filter((one) => !transients.includes(one))) {
      const ours = state in plain ? plain[state as keyof typeof plain] : statesFor(cloudeng, state)[0];
      assert(ours);
      for (const action of Object.keys(cloudengTable[state]) as (keyof typeof cloudengToUnified)[]) {
        assert(
          allowed(ours, cloudengToUnified[action]),
          `${action} in ${state} is ${cloudengToUnified[action]} in ${ours}`,
        );
      }
    }
  });
});

describe('cloudeng scenario 2: a whole life', () => {
  test('clone, start, stop, stop, start, suspend, suspend, start, stop, delete', async () => {
    const vm = new MemoryVm();
    const instance = new CloudengInstance(vm);
    const steps: [() => Promise<unknown>, CloudengState][] = [
      [() => instance.clone(), 'Stopped'],
      [() => instance.start(), 'Running'],
      [() => instance.stop(1000), 'Stopped'],
      [() => instance.stop(1000), 'Stopped'],
      [() => instance.start(), 'Running'],
      [() => instance.suspend(), 'Suspended'],
      [() => instance.suspend(), 'Suspended'],
      [() => instance.start(), 'Running'],
      [() => instance.stop(1000), 'Stopped'],
      [() => instance.delete(), 'Deleted'],
    ];
    for (const [act, state] of steps) {
      await act();
      assert.equal(await instance.state(), state);
    }
    const shown = vm.seen.map((state) => cloudeng.words[state]);
    assert.deepEqual(
      shown.filter((state, index) => state !== shown[index - 1]),
      [
        ...[
          'Initial',
          'Cloning',
          'Stopped',
          'Starting',
          'Running',
          'Stopping',
          'Stopped',
          'Starting',
          'Running',
        ],
        ...['Suspending', 'Suspended', 'Starting', 'Running', 'Stopping', 'Stopped', 'Deleting', 'Deleted'],
      ],
    );
  });

  test('a deleted instance can be cloned again', async () => {
    const instance = new CloudengInstance(new MemoryVm().place({ state: 'Deleted' }));
    await instance.clone();
    assert.equal(await instance.state(), 'Stopped');
  });

  test('a clone that fails leaves Initial, and a start that fails leaves Stopped', async () => {
    const vm = new MemoryVm();
    const instance = new CloudengInstance(vm);
    vm.failures.set('clone', 'undone').set('start', 'undone');
    await assert.rejects(instance.clone(), /clone failed/);
    assert.equal(await instance.state(), 'Initial');
    await instance.clone();
    await assert.rejects(instance.start(), /start failed/);
    assert.equal(await instance.state(), 'Stopped');
  });
});

describe('cloudeng scenario 3: a new instance', () => {
  test('stop and start are errors and leave it Initial; cleanup succeeds', async () => {
    const instance = new CloudengInstance(new MemoryVm());
    const { stopError } = await instance.stop(1000);
    assert(stopError instanceof CloudengError && stopError.reason === 'not_allowed');
    await assert.rejects(instance.start(), { reason: 'not_allowed' });
    assert.equal(await instance.state(), 'Initial');
    await cleanupVm(instance, 1000);
  });

  test('delete of one that is already deleted is an error, and cleanup does nothing', async () => {
    const vm = new MemoryVm().place({ state: 'Deleted' });
    const instance = new CloudengInstance(vm);
    await assert.rejects(instance.delete(), { reason: 'not_allowed' });
    await cleanupVm(instance, 1000);
    await cleanupVm(null, 1000);
    assert.deepEqual(vm.seen, ['Defined']);
  });

  test('exec is refused with the reason: not found, not running', async () => {
    const vm = new MemoryVm();
    const instance = new CloudengInstance(vm);
    await assert.rejects(instance.exec(['true']), { reason: 'vm_not_found' });
    vm.place({ state: 'Suspended' });
    await assert.rejects(instance.exec(['true']), { reason: 'vm_not_running' });
    vm.place({ state: 'Running' });
    assert.equal(await instance.exec(['true', 'x']), 2);
  });
});

describe('cloudeng scenario 4: cleanup', () => {
  test('from Running it ends Deleted', async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    await cleanupVm(new CloudengInstance(vm), 1000);
    assert.equal(vm.state(), 'Deleted');
  });

  test('a stop that fails is reported, with the state it left', async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    vm.failures.set('stop', 'failed');
    await assert.rejects(cleanupVm(new CloudengInstance(vm), 1000), { name: 'CleanupError', state: 'Error' });
  });

  test('a transient state is refused at once, also while its operation is under way', async () => {
    const vm = new MemoryVm().place({ state: 'Stopped' });
    const instance = new CloudengInstance(vm);
    const refused: unknown[] = [];
    vm.inTransient = async () => {
      refused.push(await cleanupVm(instance, 1000).catch((error: Error) => error.message));
    };
    await instance.start();
    assert.deepEqual(refused, ['unexpected VM state: Starting', 'unexpected VM state: Initializing']);
    assert.equal(await instance.state(), 'Running');
  });
});

describe('a cloudeng instance', () => {
  test('judges the loser of a race against the state the winner left', async () => {
    const instance = new CloudengInstance(new MemoryVm().place({ state: 'Running' }));
    const [first, second, start, suspend] = await Promise.allSettled([
      instance.stop(1000),
      instance.stop(1000),
      instance.start(),
      instance.start(),
    ]);
    assert.deepEqual(
      [first, second, start].map((one) => one.status),
      ['fulfilled', 'fulfilled', 'fulfilled'],
    );
    assert(suspend.status === 'rejected' && suspend.reason.reason === 'not_allowed');
  });

  test("answers a stop with the VM process's own error", async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    vm.vmError = new Error('exit status 1');
    assert.deepEqual(await new CloudengInstance(vm).stop(1000), { vmError: vm.vmError });
  });

  test('that cannot be suspended says so and stays as it is', async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    vm.suspendable = false;
    const instance = new CloudengInstance(vm);
    assert.equal(instance.suspendable(), false);
    await assert.rejects(instance.suspend(), { reason: 'not_suspendable' });
    assert.equal(await instance.state(), 'Running');
  });

  test('leads out of an unknown state by deleting', async () => {
    const vm = new MemoryVm().place({ state: 'Unknown' });
    await new CloudengInstance(vm).delete();
    assert.equal(vm.state(), 'Deleted');
  });

  test('waits for a state in its own words', async () => {
    const vm = new MemoryVm().place({ state: 'Suspending', before: 'Running', action: 'suspend' });
    const instance = new CloudengInstance(vm);
    await assert.rejects(
      instance.waitFor('Suspended', { intermediates: ['Running'] }),
      /unexpected state Suspending/,
    );
    vm.step({ observation: 'saved' });
    assert.equal(await instance.waitFor('Suspended'), 'Suspended');
  });
});
