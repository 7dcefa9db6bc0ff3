import assert from 'node:assert/strict';
import { test } from 'node:test';
import { characterDevice, cpio, directory, file } from './cpio.ts';

interface Read {
  name: string;
  mode: number;
  data: string;
  device: [number, number];
}

/** Reads an archive by the letter of buffer-format.rst. */
function read(archive: Buffer): Read[] {
  const found: Read[] = [];
  for (let at = 0; at < archive.length; ) {
    assert.equal(at % 4, 0, 'entries are aligned to 4 bytes');
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const name = archive.toString('utf8', at + 110, at + 110 + field(11) - 1);
    const start = (at + 110 + field(11) + 3) & ~3;
    const data = archive.toString('latin1', start, start + field(6));
    const entry = { name, mode: field(1), data, device: [field(9), field(10)] as [number, number] };
    at = (start + field(6) + 3) & ~3;
    if (name === 'TRAILER!!!') {
      assert.equal(at, archive.length, 'nothing follows the trailer');
      return found;
    }
    found.push(entry);
  }
  assert.fail('no trailer');
}

test('what is written to an archive can be read back, whatever the lengths of names and data', () => {
  const entries = ['', 'a', 'ab', 'abc', 'abcd'].flatMap((text) => [
    directory(`d${text}`, 0o1777),
    file(`d${text}/${text}f`, Buffer.from(text), 0o755),
  ]);
  const found = read(cpio([...entries, characterDevice('console', 5, 1)]));
  assert.deepEqual(
    found.slice(0, -1),
    entries.map(({ name, mode, data }) => ({ name, mode, data: data?.toString() ?? '', device: [0, 0] })),
  );
  assert.deepEqual(found.at(-1), { name: 'console', mode: 0o020600, data: '', device: [5, 1] });
});

test('equal entries give equal bytes', () => {
  const once = (): Buffer => cpio([directory('a'), file('a/b', Buffer.from('c'))]);
  assert.deepEqual(once(), once());
});
