import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { detachKeys, KeyWatch } from './detach-keys.ts';

const bytes = (text: string) => Buffer.from(text);

test('Ctrl-P Ctrl-Q detaches, also when typed in two reads', () => {
  const keys = new KeyWatch(detachKeys);
  assert.deepEqual(keys.scan(bytes('ls\x10')), { pass: Uint8Array.from(bytes('ls')), detached: false });
  assert.deepEqual(keys.scan(bytes('\x11')), { pass: new Uint8Array(), detached: true });
});

test('a Ctrl-P that something else follows is passed on', () => {
  assert.equal(Buffer.from(new KeyWatch(detachKeys).scan(bytes('\x10a')).pass).toString(), '\x10a');
  const twice = new KeyWatch(detachKeys).scan(bytes('\x10\x10\x11'));
  assert.deepEqual(twice, { pass: Uint8Array.of(0x10), detached: true });
});

test('however the typing is cut into reads, nothing is lost and the keys are found', () => {
  const key = fc.constantFrom(0x10, 0x11, 0x61);
  fc.assert(
    fc.property(fc.array(fc.array(key)), (reads) => {
      const typed = Buffer.from(reads.flat());
      const at = typed.indexOf(Buffer.from(detachKeys));
      const watch = new KeyWatch(detachKeys);
      const passed: number[] = [];
      let detached = false;
      for (const read of reads) {
        if (detached) break;
        const found = watch.scan(Uint8Array.from(read));
        passed.push(...found.pass);
        detached = found.detached;
      }
      assert.equal(detached, at !== -1);
      // A Ctrl-P at the very end is held back: its partner may come.
      const expected =
        at === -1 ? typed.subarray(0, typed.at(-1) === 0x10 ? -1 : undefined) : typed.subarray(0, at);
      assert.deepEqual(Buffer.from(passed), Buffer.from(expected));
    }),
  );
});
