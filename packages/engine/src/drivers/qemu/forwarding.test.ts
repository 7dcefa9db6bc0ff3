import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseForwards } from './forwarding.ts';

test('forwarded ports are read from what QEMU 7.2 prints, and established connections are not taken for them', () => {
  const printed = [
    'Hub -1 (net0):',
    '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ',
    '  TCP[HOST_FORWARD]  13       127.0.0.1 41795       10.99.0.2  8080     0     0',
    '  TCP[ESTABLISHED]   14       127.0.0.1 51000       10.99.0.2    22     0     0',
    '  TCP[HOST_FORWARD]   9       127.0.0.1 33581       10.99.0.2    80     0     0',
    '',
  ].join('\r\n');
  assert.deepEqual(
    [...parseForwards(printed)],
    [
      [8080, 41795],
      [80, 33581],
    ],
  );
});
