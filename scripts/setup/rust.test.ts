import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRecent } from './rust.ts';

test('versions are compared by number, as rustc and Debian write them', () => {
  for (const version of ['1.85.0', '1.96.0+dfsg1-1~deb12u2', '1.100.0', '2.0.0'])
    assert(isRecent(version, '1.85'), version);
  for (const version of ['1.63.0+dfsg1-2', '1.84.9', '1.9.0', '0.99.0'])
    assert(!isRecent(version, '1.85'), version);
});
