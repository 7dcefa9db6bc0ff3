import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  allActions,
  allOperations,
  allowed,
  allStates,
  isStable,
  joining,
  mayHaveVmm,
  mayInterrupt,
  type Operation,
  operationAllowed,
  operations,
} from './index.ts';

test('an operation that holds an instance begins and ends in stable states', () => {
  for (const name of allOperations) {
    const { from, ends, holds }: Operation = operations[name];
    assert(from.length > 0, name);
    if (holds === 'none') continue;
    for (const state of from) assert(isStable(state), `${name} from ${state}`);
    if (ends !== 'same') for (const state of ends) assert(isStable(state), `${name} to ${state}`);
  }
});

test('whatever talks to the agent needs a running guest', () => {
  for (const name of ['exec', 'attach', 'cp', 'stat', 'stats', 'connect'] as const) {
    assert.deepEqual(
      allStates.filter((state) => operationAllowed(state, name)),
      ['Running'],
    );
  }
});

test('the console needs a VMM, the logs do not', () => {
  for (const state of allStates) assert.equal(operationAllowed(state, 'console'), mayHaveVmm(state), state);
  assert(operationAllowed('Stopped', 'logs'));
});

test('start, stop and delete join; forks and snapshots never do; commands run beside each other', () => {
  assert.deepEqual(
    allActions.filter((action) => joining[action] === 'equal'),
    ['start', 'stop', 'delete'],
  );
  assert.equal(joining.fork, 'never');
  assert.equal(joining.snapshot, 'never');
  assert.equal(joining.exec, 'beside');
});

test('a stop interrupts a start, a delete only when it is forced, and nothing interrupts a delete', () => {
  assert(mayInterrupt('stop', 'start'));
  assert(mayInterrupt('delete', 'start', { force: true }));
  assert(!mayInterrupt('delete', 'start'));
  for (const action of allActions) assert(!mayInterrupt(action, 'delete', { force: true }), action);
});

test('whatever is interrupted passes through states in which the interrupting action is allowed', () => {
  for (const state of ['Starting', 'Initializing', 'Restoring'] as const) {
    assert(allowed(state, 'stop'), state);
    assert(allowed(state, 'delete', { force: true }), state);
  }
  for (const state of ['Stopping', 'Suspending'] as const)
    assert(allowed(state, 'delete', { force: true }), state);
});
