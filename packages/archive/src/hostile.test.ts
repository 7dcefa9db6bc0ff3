import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { padding } from './header.ts';
import { encodeHeader, endOfArchive, extractTree, readTar, type TarHeader } from './index.ts';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'viv-hostile-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

type Piece = Partial<TarHeader> & { name: string; text?: string };

function archive(...pieces: Piece[]): Buffer {
  const blocks = pieces.flatMap(({ text = '', ...piece }) => {
    const data = Buffer.from(piece.kind === undefined || piece.kind === 'file' ? text : '');
    const base = { kind: 'file', mode: 0o644, uid: 0, gid: 0, mtimeMs: 1000 } as const;
    return [encodeHeader({ ...base, ...piece, size: data.length }), data, padding(data.length)];
  });
  return Buffer.concat([...blocks, endOfArchive]);
}

/** Unpacks into `<box>/in`; everything else in the box must stay as it was. */
function box(): { root: string; into: string; untouched: () => void } {
  const root = mkdtempSync(path.join(dir, 'box-'));
  const into = path.join(root, 'in');
  mkdirSync(into);
  writeFileSync(path.join(root, 'secret'), 'secret');
  return {
    root,
    into,
    untouched: () => {
      assert.deepEqual(readdirSync(root).sort(), ['in', 'secret']);
      assert.equal(readFileSync(path.join(root, 'secret'), 'utf8'), 'secret');
    },
  };
}

const refused: Record<string, (root: string) => Piece[]> = {
  'a name that climbs out': () => [{ name: '../secret', text: 'x' }],
  'a name that climbs out from below': () => [{ name: 'a/b/../../../secret', text: 'x' }],
  'an absolute name': (root) => [{ name: `${root}/secret`, text: 'x' }],
  'a file through a link made before it': (root) => [
    { name: 'door', kind: 'symlink', linkName: root },
    { name: 'door/secret', text: 'x' },
  ],
  'a directory through a relative link': () => [
    { name: 'door', kind: 'symlink', linkName: '..' },
    { name: 'door/new/', kind: 'directory' },
  ],
  'a hard link to a file outside': () => [{ name: 'mine', kind: 'hardlink', linkName: '../secret' }],
  'a hard link through a link': () => [
    { name: 'door', kind: 'symlink', linkName: '..' },
    { name: 'mine', kind: 'hardlink', linkName: 'door/secret' },
  ],
  'a link in place of the destination': (root) => [{ name: '.', kind: 'symlink', linkName: root }],
};

for (const [what, pieces] of Object.entries(refused)) {
  test(`${what} is refused, and nothing is written outside`, async () => {
    const { root, into, untouched } = box();
    await assert.rejects(extractTree([archive(...pieces(root))], into), (e) =>
      isVivError(e, 'archive_hostile'),
    );
    untouched();
    assert.equal(existsSync(path.join(into, 'mine')), false);
  });
}

test('a link of the host on the way is not followed either', async () => {
  const { root, into, untouched } = box();
  symlinkSync(root, path.join(into, 'door'));
  await assert.rejects(extractTree([archive({ name: 'door/new', text: 'x' })], into), (e) =>
    isVivError(e, 'archive_hostile'),
  );
  untouched();
});

test('whatever entries an archive has, in whatever order, nothing outside the destination changes', async () => {
  const name = fc.oneof(
    fc.constantFrom(
      'a',
      'b',
      'a/b',
      'b/a',
      'a/b/c',
      '.',
      './a',
      '..',
      '../secret',
      'a/../../secret',
      '/tmp/x',
      'a//b',
      '',
    ),
    fc.array(fc.constantFrom('a', 'b', '..', '.', ''), { maxLength: 5 }).map((parts) => parts.join('/')),
  );
  const piece = fc.record({
    name,
    kind: fc.constantFrom('file', 'directory', 'symlink', 'hardlink' as const),
    linkName: fc.oneof(name, fc.constantFrom('..', '../..', '../secret')),
    text: fc.string({ maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
      const { into, untouched } = box();
      // Failing is fine, with a typed error; writing outside is not.
      await extractTree([archive(...(pieces as Piece[]))], into).catch((error) => {
        assert.ok(isVivError(error), String(error));
      });
      untouched();
    }),
    { numRuns: 300 },
  );
});

test('any bytes end in entries or in a typed error', async () => {
  const good = archive({ name: 'file', text: 'x'.repeat(2000) }, { name: 'l'.repeat(150), text: 'y' });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.nat(good.length),
      fc.integer({ min: 1, max: 1500 }),
      async (changes, cut, step) => {
        const bytes = Buffer.from(good.subarray(0, cut));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const chunks = Array.from({ length: Math.ceil(cut / step) }, (_, i) =>
          bytes.subarray(i * step, (i + 1) * step),
        );
        try {
          for await (const { body } of readTar(chunks)) for await (const part of body) assert.ok(part);
        } catch (error) {
          assert.ok(isVivError(error, 'archive_invalid', 'archive_hostile'), String(error));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('names without bounds are refused before they are read', async () => {
  const block = Buffer.from(
    encodeHeader({ name: 'x', kind: 'file', size: 2 ** 30, mode: 0, uid: 0, gid: 0, mtimeMs: 0 }),
  );
  block.write('x', 156, 'latin1');
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  let read = 0;
  async function* endless() {
    yield block;
    for (;;) yield Buffer.alloc(65536 + 0 * read++);
  }
  await assert.rejects(extractTree(endless(), box().into), (e) => isVivError(e, 'archive_hostile'));
  assert.ok(read < 3);
});
