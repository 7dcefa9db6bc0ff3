import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signalStatus } from './failure.ts';

test('a program that a signal ended is told as shells tell it', () => {
  const names = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM'] as const;
  assert.deepEqual(names.map(signalStatus), [129, 130, 131, 137, 143]);
});
