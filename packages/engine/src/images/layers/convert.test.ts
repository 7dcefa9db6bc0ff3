import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isVivError } from '@vivarium/model';
import { digestOf } from '../digest.ts';
import { run, temporaryDirectory } from '../fixtures/layout.ts';
import { chunked, type Item, tarOf } from '../fixtures/tar-of.ts';
import { convertLayer, inspectLayer, type LayerSource } from './convert.ts';
import type { LowerLayer } from './lower.ts';

function sourceOf(items: Item[] | Buffer): LayerSource {
  const tar = Buffer.isBuffer(items) ? items : tarOf(items);
  const blob = gzipSync(tar);
  return {
    diffId: digestOf(tar),
    blob: { digest: digestOf(blob), size: blob.length },
    open: () => chunked(blob),
  };
}

async function convert(
  items: Item[],
  dir: string,
  lower: LowerLayer[] = [],
): Promise<LowerLayer & { sizeBytes: number }> {
  const source = sourceOf(items);
  return convertLayer(source, await inspectLayer(source), lower, dir);
}

/** `mode owner/group size-or-device name` of everything inside. */
async function listing(file: string): Promise<Record<string, string>> {
  const { stdout } = await run('unsquashfs', ['-lln', file], {
    encoding: 'latin1',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const lines = stdout.split('\n').flatMap((line) => {
    const match = /^(\S{10})\s+(\S+)\s+(\d+(?:,\s*\d+)?)\s+\S+ \S+ squashfs-root\/?(.*)$/.exec(line);
    return match
      ? [
          [
            match[4] ?? '',
            `${match[1]} ${match[2]} ${match[1]?.startsWith('d') ? '' : match[3]?.replace(/\s/g, '')}`.trim(),
          ],
        ]
      : [];
  });
  return Object.fromEntries(lines);
}

const xattrs = async (file: string, name: string): Promise<string> =>
  (await run('rdsquashfs', ['-x', name, file])).stdout.trim();
const cat = async (file: string, name: string): Promise<string> =>
  (await run('rdsquashfs', ['-c', name, file])).stdout;

// cap_net_raw+ep of a real /bin/ping; zero bytes, a newline's byte and bytes over 127 on purpose.
const capability = Buffer.from('0100000200200000000a00000000ff00fe000000', 'hex').toString('latin1');

test('owners, setuid, capabilities, links, devices, whiteouts and odd names arrive in the disk', async () => {
  await using temporary = await temporaryDirectory();
  const made = await convert(
    [
      { name: './', mode: 0o751 },
      { name: 'bin/', mode: 0o755 },
      { name: 'bin/su', mode: 0o4755, uid: 0, gid: 12, content: 'setuid' },
      { name: 'bin/ping', mode: 0o755, content: 'p', xattrs: { 'security.capability': capability } },
      { name: 'bin/su2', kind: 'link', linkName: './bin/su' },
      { name: 'big', uid: 3_000_000_000, gid: 400_000, mode: 0o600 },
      { name: 'tmp/', mode: 0o1777 },
      { name: 'tmp/.wh..wh..opq' },
      { name: 'tmp/.wh.old' },
      { name: 'null', kind: 'character', major: 1, minor: 3, mode: 0o666 },
      { name: 'disk', kind: 'block', major: 259, minor: 70_000, mode: 0o660, gid: 6 },
      { name: 'pipe', kind: 'fifo', mode: 0o622 },
      { name: 'link', kind: 'symlink', linkName: `/x/${'y'.repeat(200)}`, mode: 0o777 },
      { name: 'link2', kind: 'link', linkName: 'link' },
      { name: `long/`, mode: 0o755 },
      { name: `long/${'n'.repeat(255)}`, content: 'n' },
      { name: 'latin-\xe9', content: 'e' },
      { name: 'a b"c\\', content: 'quoted' },
    ],
    temporary.dir,
  );
  const found = await listing(made.file);
  assert.equal(found[''], 'drwxr-x--x 0/0');
  assert.equal(found['bin/su'], '-rwsr-xr-x 0/12 6');
  assert.equal(found['bin/su2'], '-rwsr-xr-x 0/12 6');
  assert.equal(found.big, '-rw------- 3000000000/400000 0');
  assert.equal(found.tmp, 'drwxrwxrwt 0/0');
  assert.equal(found['tmp/old'], 'c--------- 0/0 0,0');
  assert.equal(found.null, 'crw-rw-rw- 0/0 1,3');
  // unsquashfs prints large minors as part of the major.
  assert.match(
    (await run('rdsquashfs', ['--describe', made.file], { encoding: 'latin1' })).stdout,
    /^nod disk 0?660 0 6 b 259 70000$/m,
  );
  assert.match(found.pipe ?? '', /^prw--w--w-/);
  assert.match(found[`link -> /x/${'y'.repeat(200)}`] ?? '', /^lrwxrwxrwx/);
  assert.match(found[`link2 -> /x/${'y'.repeat(200)}`] ?? '', /^lrwxrwxrwx/);
  assert.equal(found[`long/${'n'.repeat(255)}`], '-rw-r--r-- 0/0 1');
  assert.ok('latin-\xe9' in found, 'a name that is not UTF-8');
  assert.equal(await cat(made.file, 'a b"c\\'), 'quoted');
  assert.equal(await xattrs(made.file, 'tmp'), 'trusted.overlay.opaque=y');
  assert.match(
    await xattrs(made.file, 'bin/ping'),
    new RegExp(`^security\\.capability=0x${Buffer.from(capability, 'latin1').toString('hex')}$`, 'i'),
  );
  assert.equal(await xattrs(made.file, 'bin/su'), '');
  assert.deepEqual(made.opaque, ['tmp']);
  assert.equal(made.sizeBytes % 4096, 0);
  const stat = await run('rdsquashfs', ['--stat', 'bin/su', made.file]);
  assert.match(stat.stdout, /Hard link count: 2/, 'a hard link is one inode');
});

test('the same layer gives the same bytes', async () => {
  await using temporary = await temporaryDirectory();
  const items: Item[] = Array.from({ length: 200 }, (_, at) => ({
    name: `f${at}`,
    content: Buffer.alloc(at * 999, `${at}`),
  }));
  const [one, two] = [await convert(items, temporary.dir), await convert(items, temporary.dir)];
  assert.ok((await readFile(one.file)).equals(await readFile(two.file)));
});

test('files written twice, empty layers and a whole hundred of small files survive', async () => {
  await using temporary = await temporaryDirectory();
  const empty = await convert([], temporary.dir);
  assert.deepEqual(Object.keys(await listing(empty.file)), ['']);
  const twice = await convert(
    [
      { name: 'f', content: 'first' },
      { name: 'f', content: 'second!' },
    ],
    temporary.dir,
  );
  assert.equal(await cat(twice.file, 'f'), 'second!');
});

test('directories that a layer only implies keep what the layers below gave them', async () => {
  await using temporary = await temporaryDirectory();
  const base = await convert(
    [
      { name: 'var/', mode: 0o711, uid: 7 },
      { name: 'var/tmp/', mode: 0o1777, xattrs: { 'user.note': 'kept' } },
      { name: 'usr/', mode: 0o755 },
      { name: 'usr/bin/', mode: 0o750 },
      { name: 'bin', kind: 'symlink', linkName: 'usr/bin' },
      { name: 'lib', kind: 'symlink', linkName: '/usr/../usr/lib' },
      { name: 'gone/', mode: 0o700 },
    ],
    temporary.dir,
  );
  const middle = await convert([{ name: '.wh.gone' }], temporary.dir, [base]);
  const items: Item[] = [
    { name: 'var/tmp/f' },
    { name: 'bin/tool', content: 't' },
    { name: 'lib/x/y' },
    { name: 'gone/again' },
    { name: 'new/f' },
  ];
  const found = await listing((await convert(items, temporary.dir, [base, middle])).file);
  assert.equal(found.var, 'drwx--x--x 7/0');
  assert.equal(found['var/tmp'], 'drwxrwxrwt 0/0');
  assert.equal(found['usr/bin'], 'drwxr-x--- 0/0');
  assert.equal(found['usr/bin/tool'], '-rw-r--r-- 0/0 1', 'through the link below');
  assert.equal(found['usr/lib/x/y'], '-rw-r--r-- 0/0 0');
  assert.ok(!('bin' in found) && !('lib' in found), 'the links below stay visible');
  assert.equal(found.gone, 'drwxr-xr-x 0/0', 'what was removed below gives nothing');
  assert.equal(found.new, 'drwxr-xr-x 0/0');
});

test('a hard link to a file of a lower layer brings the file, and links among themselves stay links', async () => {
  await using temporary = await temporaryDirectory();
  const base = await convert(
    [
      { name: 'd/' },
      {
        name: 'd/f',
        mode: 0o4711,
        uid: 5,
        content: 'from below',
        xattrs: { 'security.capability': capability },
      },
    ],
    temporary.dir,
  );
  const items: Item[] = [
    { name: 'one', kind: 'link', linkName: 'd/f' },
    { name: 'two', kind: 'link', linkName: 'd/f' },
  ];
  const made = await convert(items, temporary.dir, [base]);
  const found = await listing(made.file);
  assert.equal(found.one, '-rws--x--x 5/0 10');
  assert.equal(await cat(made.file, 'two'), 'from below');
  assert.match(await xattrs(made.file, 'one'), /security\.capability=0x01000002/i);
  const { stdout } = await run('rdsquashfs', ['--stat', 'two', made.file]);
  assert.match(stdout, /Hard link count: 2/);
  await assert.rejects(convert(items, temporary.dir), (error) => isVivError(error, 'image_invalid'));
  assert.deepEqual((await readdir(temporary.dir)).length, 2, 'only the two converted layers are there');
});

test('a layer with another digest than promised is refused, compressed or not', async () => {
  const good = sourceOf([{ name: 'a' }]);
  const other = sourceOf([{ name: 'b' }]);
  const size = good.blob?.size ?? 0;
  const wrong: LayerSource[] = [
    { ...good, diffId: other.diffId },
    { ...good, blob: { digest: other.diffId, size } },
    { ...good, blob: { digest: good.blob?.digest ?? '', size: size + 1 } },
  ];
  for (const source of wrong)
    await assert.rejects(inspectLayer(source), (error) => isVivError(error, 'image_invalid'));
  await inspectLayer(good);
});

test('aborting ends the tool and leaves no file', async () => {
  await using temporary = await temporaryDirectory();
  const source = sourceOf([{ name: 'large', content: Buffer.alloc(8_000_000, 'x') }]);
  const scanned = await inspectLayer(source);
  const stop = new AbortController();
  const stopping: LayerSource = {
    ...source,
    open: async function* () {
      for await (const chunk of source.open()) {
        yield chunk;
        stop.abort();
      }
    },
  };
  await assert.rejects(convertLayer(stopping, scanned, [], temporary.dir, stop.signal), (error) =>
    isVivError(error, 'cancelled'),
  );
  assert.deepEqual(await readdir(temporary.dir), []);
});

test('a source that changes between the two readings is caught', async () => {
  await using temporary = await temporaryDirectory();
  const source = sourceOf([{ name: 'a', content: 'one' }]);
  const scanned = await inspectLayer(source);
  const changed = { ...source, open: sourceOf([{ name: 'a', content: 'two' }]).open };
  await assert.rejects(convertLayer(changed, scanned, [], temporary.dir), (error) =>
    isVivError(error, 'image_invalid'),
  );
  assert.deepEqual(await readdir(temporary.dir), []);
});
