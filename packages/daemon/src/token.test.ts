import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { authorize } from './token.ts';

const asking = (authorization?: string) => ({ headers: { authorization } }) as IncomingMessage;

test('the token lets in, whatever the case of its scheme', () => {
  authorize(asking('Bearer secret'), 'secret');
  authorize(asking('bearer secret'), 'secret');
});

test('without a token to ask for, everybody is let in', () => {
  authorize(asking(), undefined);
});

test('whoever brings another token, a part of it, or none is refused with what to do', () => {
  for (const brought of [
    undefined,
    '',
    'secret',
    'Bearer',
    'Bearer ',
    'Bearer secre',
    'Bearer secret1',
    'Basic secret',
  ])
    assert.throws(
      () => authorize(asking(brought), 'secret'),
      (error) => isVivError(error, 'unauthorized') && error.hint !== undefined,
      brought,
    );
});
