import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { chunked, type Item, tarOf } from '../fixtures/tar-of.ts';
import { type ScannedLayer, scanLayer } from './scan.ts';
import { isDirectory } from './tree.ts';

const scan = (items: Item[]): Promise<ScannedLayer> => scanLayer(chunked(tarOf(items)));

/** Every name with a word for what it is. */
function listing({ tree }: ScannedLayer): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { path, node } of tree.walk()) {
    const name = path.join('/');
    if (isDirectory(node))
      found[name] = `${node.entry ? 'directory' : 'implied'}${node.opaque ? ' opaque' : ''}`;
    else if ('entry' in node)
      found[name] = node.entry.kind === 'character' && node.index < 0 ? 'whiteout' : node.entry.kind;
    else found[name] = 'pending';
  }
  return found;
}

test('names that lead out of the root are refused as hostile', async () => {
  const hostile: Item[][] = [
    [{ name: '/etc/passwd' }],
    [{ name: '../x' }],
    [{ name: 'a/../../x' }],
    [{ name: 'a/..' }],
    [{ name: 'l', kind: 'link', linkName: '../../etc/passwd' }],
    [{ name: 'l', kind: 'link', linkName: '/etc/passwd' }],
    [{ name: '..', kind: 'directory' }],
    [{ name: '.', kind: 'symlink', linkName: '/' }],
    [{ name: 'd', kind: 'symlink', linkName: '/etc' }, { name: 'd/passwd' }],
    [
      { name: 'd', kind: 'symlink', linkName: '..' },
      { name: 'l', kind: 'link', linkName: 'd/x' },
    ],
    [{ name: 'a/.wh...' }],
    [{ name: '.wh.' }],
    [{ name: 'd', kind: 'symlink', linkName: '/' }, { name: 'd/.wh.etc' }],
  ];
  for (const items of hostile) {
    await assert.rejects(scan(items), (error) => isVivError(error, 'image_hostile'), JSON.stringify(items));
  }
});

test('no name whatever gets out of the root', async () => {
  const part = fc.constantFrom('..', '.', '', 'a', 'b', '.wh.a', '.wh...', '.wh..wh..opq', '...', '\0');
  const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/') || 'x');
  const kind = fc.constantFrom<Item['kind'][]>('file', 'directory', 'symlink', 'link');
  const items = fc.array(fc.record({ name, kind, linkName: name }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(items, async (layer) => {
      try {
        for (const { path } of (await scan(layer as Item[])).tree.walk()) {
          assert.ok(
            !path.some(
              (each) => ['..', '.', ''].includes(each) || each.includes('/') || each.startsWith('.wh.'),
            ),
            path.join('/'),
          );
        }
      } catch (error) {
        assert.ok(isVivError(error, 'image_hostile', 'image_invalid'), String(error));
      }
    }),
    { numRuns: 300 },
  );
});

test('whiteouts become what overlayfs knows, wherever in the tar they stand', async () => {
  const items: Item[] = [
    { name: 'd/' },
    { name: 'd/.wh.gone' },
    { name: 'd/.wh.both' },
    { name: 'd/both' },
    { name: 'd/tree/' },
    { name: 'd/tree/kept' },
    { name: 'd/.wh.tree' },
    { name: 'o/' },
    { name: 'o/.wh..wh..opq' },
    { name: 'o/new' },
    { name: '.wh..wh.plnk/1.2' },
    { name: '.wh..wh.aufs' },
  ];
  const expected = {
    '': 'implied',
    d: 'directory',
    'd/gone': 'whiteout',
    'd/both': 'file',
    'd/tree': 'directory opaque',
    'd/tree/kept': 'file',
    o: 'directory opaque',
    'o/new': 'file',
  };
  assert.deepEqual(listing(await scan(items)), expected);
  const backwards = listing(await scan(items.toReversed()));
  assert.deepEqual(
    Object.fromEntries(Object.entries(backwards).sort()),
    Object.fromEntries(Object.entries(expected).sort()),
  );
});

test('a later entry takes the place of an earlier one of the same name', async () => {
  const found = await scan([
    { name: 'a/' },
    { name: 'a/x' },
    { name: 'a', kind: 'file', content: 'now a file' },
    { name: 'b', content: 'first' },
    { name: 'b/', mode: 0o700 },
    { name: 'b/y' },
    { name: 'b/', mode: 0o711 },
  ]);
  assert.deepEqual(listing(found), { '': 'implied', a: 'file', b: 'directory', 'b/y': 'file' });
  const b = found.tree.find(['b']);
  assert.equal(isDirectory(b) && b.entry?.mode, 0o711);
});

test('a layer that is complete in itself needs none below; one with implied directories or foreign links does', async () => {
  assert.equal(
    (
      await scan([
        { name: './' },
        { name: 'a/' },
        { name: 'a/f' },
        { name: 'l', kind: 'link', linkName: 'a/f' },
      ])
    ).needsLower,
    false,
  );
  assert.equal(
    (await scan([{ name: 'l', kind: 'link', linkName: 'a/f' }, { name: 'a/' }, { name: 'a/f' }])).needsLower,
    false,
  );
  assert.deepEqual((await scan([{ name: 'a/b/f' }])).implied, [['a'], ['a', 'b']]);
  assert.equal((await scan([{ name: 'a/b/f' }])).needsLower, true);
  assert.equal((await scan([{ name: 'l', kind: 'link', linkName: 'elsewhere' }])).needsLower, true);
});

test('names and numbers no file system holds are refused as damage', async () => {
  const invalid: Item[][] = [
    [{ name: 'x'.repeat(256) }],
    [{ name: 'f' }, { name: 'f/x' }],
    [{ name: 'd/' }, { name: 'l', kind: 'link', linkName: 'd' }],
    [{ name: 'l', kind: 'link', linkName: 'l' }],
    [{ name: 'dev', kind: 'character', major: 5000 }],
    [{ name: 'f', uid: 2 ** 33 }],
    [{ name: '.wh.d/x' }],
  ];
  for (const items of invalid) {
    await assert.rejects(scan(items), (error) => isVivError(error, 'image_invalid'), JSON.stringify(items));
  }
});

test("overlayfs's own attributes are not a layer's to set, and those squashfs cannot hold are dropped", async () => {
  const found = await scan([
    {
      name: 'd/',
      xattrs: {
        'trusted.overlay.redirect': '/etc',
        'system.posix_acl_access': 'x',
        'security.capability': 'c',
        'user.a': 'b',
      },
    },
  ]);
  const node = found.tree.find(['d']);
  assert.deepEqual(isDirectory(node) && [...(node.entry?.xattrs.keys() ?? [])].sort(), [
    'security.capability',
    'user.a',
  ]);
});

test('a bomb of headers ends at a limit, not at the end of memory', async () => {
  const header = tarOf([{ name: 'x', linkName: 'y'.repeat(90), xattrs: { 'user.a': 'v'.repeat(900_000) } }]);
  const source = (async function* () {
    for (let at = 0; at < 400; at++) yield header.subarray(0, header.length - 1024);
  })();
  await assert.rejects(
    scanLayer(source),
    (error) => isVivError(error, 'image_invalid') && /entries/.test(error.message),
  );
});
