import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryVm } from '../test/memory-vm.ts';
import { CleanupError, cleanup, stableStates, transientStates } from './index.ts';

describe('cleanup', () => {
  for (const state of stableStates) {
    test(`brings a VM that is ${state} to Deleted`, async () => {
      const vm = new MemoryVm().place({ state });
      await cleanup(vm);
      assert.equal(vm.state(), 'Deleted');
    });
  }

  for (const state of transientStates) {
    test(`refuses a VM that is ${state}`, async () => {
      const vm = new MemoryVm().place({ state });
      await assert.rejects(cleanup(vm), { message: `unexpected VM state: ${state}`, state });
      assert.equal(vm.state(), state);
    });
  }

  test('does nothing for nothing', async () => {
    await cleanup(null);
    await cleanup(undefined);
  });

  test('forgives a stop that fails where the VM ends Stopped all the same', async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    vm.failures.set('stop', 'exited');
    await cleanup(vm);
    assert.equal(vm.state(), 'Deleted');
  });

  test('reports a stop that fails and leaves the VM running', async () => {
    const vm = new MemoryVm().place({ state: 'Running' });
    vm.failures.set('stop', 'undone');
    await assert.rejects(cleanup(vm), {
      state: 'Running',
      message: /stop failed while cleaning up, the state is Running/,
    });
  });

  test('reports a delete that fails, with its cause', async () => {
    const vm = new MemoryVm().place({ state: 'Stopped' });
    vm.failures.set('delete', 'failed');
    await assert.rejects(cleanup(vm), (error) => {
      assert(error instanceof CleanupError && error.cause instanceof Error);
      assert.match(error.message, /delete failed while cleaning up, the state is Error/);
      return true;
    });
  });

  test('does not believe a delete that leaves the VM there', async () => {
    const vm = new MemoryVm().place({ state: 'Stopped' });
    vm.delete = async () => {};
    await assert.rejects(cleanup(vm), /is Stopped after its delete/);
  });

  test('removes what an interrupted clone left with best effort', async () => {
    const vm = new MemoryVm();
    vm.failures.set('delete', 'failed');
    await cleanup(vm);
  });

  test('throws saved memory away before it deletes', async () => {
    const vm = new MemoryVm().place({ state: 'Suspended' });
    await cleanup(vm);
    assert.deepEqual(vm.seen, ['Defined', 'Stopped', 'Deleting', 'Deleted']);
  });
});
