import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from './errors.ts';
import { forwardPort } from './forward.ts';

test('a forward whose signal fires before it listens is cancelled, and holds no port', async () => {
  const leaving = new AbortController();
  const nowhere = () => assert.fail('nobody has come');
  const opening = forwardPort(nowhere, 80, { signal: leaving.signal });
  leaving.abort();
  await assert.rejects(opening, (error) => isVivError(error, 'cancelled'));
});
