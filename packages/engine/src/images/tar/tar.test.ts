import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { temporaryDirectory } from '../fixtures/layout.ts';
import { chunked, entryOf, type Item, tarOf } from '../fixtures/tar-of.ts';
import type { TarEntry } from './entry.ts';
import { readTar } from './reader.ts';

async function read(data: Uint8Array, chunk = 65_536): Promise<{ entry: TarEntry; content: string }[]> {
  const found = [];
  for await (const { entry, content } of readTar(chunked(data, chunk))) {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    found.push({ entry, content: Buffer.concat(parts).toString('latin1') });
  }
  return found;
}

const byteName = fc
  .uint8Array({ minLength: 1, maxLength: 150 })
  .map((bytes) => Buffer.from(bytes).toString('latin1').replace(/[\0/]/g, '_'));

const item: fc.Arbitrary<Item> = fc.record({
  name: byteName,
  kind: fc.constantFrom('file', 'directory', 'symlink', 'link', 'character', 'fifo'),
  linkName: byteName,
  mode: fc.nat(0o7777),
  uid: fc.nat(0xffffffff),
  gid: fc.nat(0xffffffff),
  mtime: fc.nat(0xffffffff),
  major: fc.nat(4095),
  minor: fc.nat(0xfffff),
  content: fc.uint8Array({ maxLength: 2000 }),
  xattrs: fc.dictionary(fc.constantFrom('security.capability', 'user.x'), byteName),
});

test('what the writer writes the reader reads, bytes that are no text included, in chunks of any size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(item, { maxLength: 8 }),
      fc.integer({ min: 1, max: 3000 }),
      async (items, chunk) => {
        const found = await read(tarOf(items), chunk);
        assert.equal(found.length, items.length);
        for (const [at, { entry, content }] of found.entries()) {
          const { major, minor, ...expected } = entryOf(items[at] as Item);
          const { major: _, minor: __, ...actual } = entry;
          if (expected.kind === 'directory') expected.name += '/';
          assert.deepEqual(actual, expected);
          if (expected.kind === 'character') assert.deepEqual([entry.major, entry.minor], [major, minor]);
          if (expected.kind === 'file')
            assert.equal(content, Buffer.from(items[at]?.content ?? '').toString('latin1'));
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('a tar cut anywhere, and bytes that are no tar, end in an error or fewer entries, never in a hang', async () => {
  const whole = tarOf([
    { name: 'a', content: 'x'.repeat(1500) },
    { name: 'n'.repeat(300), content: 'y' },
  ]);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length), fc.uint8Array({ maxLength: 1200 }), async (cut, junk) => {
      for (const data of [whole.subarray(0, cut), junk, Buffer.concat([whole.subarray(0, cut), junk])]) {
        await read(data).catch((error) =>
          assert.ok(isVivError(error, 'archive_invalid', 'not_supported'), error),
        );
      }
    }),
    { numRuns: 100 },
  );
});

test('long names, large numbers and links of GNU tar are understood, in each of its formats', async () => {
  await using temporary = await temporaryDirectory();
  const { dir } = temporary;
  const deep = path.join('d'.repeat(80), 'e'.repeat(80));
  mkdirSync(path.join(dir, deep), { recursive: true });
  writeFileSync(path.join(dir, deep, 'f'.repeat(90)), 'content');
  for (const format of ['gnu', 'posix', 'pax']) {
    const tar = execFileSync('tar', [
      '-C',
      dir,
      '--owner=9000000',
      '--group=:5000000',
      `--format=${format}`,
      '-c',
      'd'.repeat(80),
    ]);
    const file = (await read(tar)).at(-1);
    assert.equal(file?.entry.name, `${deep}/${'f'.repeat(90)}`, format);
    assert.equal(file?.content, 'content');
    assert.deepEqual([file?.entry.uid, file?.entry.gid], [9_000_000, 5_000_000]);
  }
});

test('a sparse file is refused, not misread', async () => {
  await using temporary = await temporaryDirectory();
  execFileSync('truncate', ['-s', '1M', path.join(temporary.dir, 's')]);
  for (const format of ['gnu', 'posix']) {
    const tar = execFileSync('tar', ['-C', temporary.dir, '-S', `--format=${format}`, '-c', 's']);
    await assert.rejects(read(tar), (error) => isVivError(error, 'not_supported'), format);
  }
});

test('a header that asks for more memory than is sane is refused', async () => {
  const bomb = tarOf([{ name: 'a' }]);
  bomb.write('77777777777', 124, 'latin1');
  bomb.write('x', 156, 'latin1');
  bomb.fill(0x20, 148, 156);
  const sum = bomb.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bomb.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  await assert.rejects(
    read(bomb),
    (error) => isVivError(error, 'archive_invalid') && /1 MiB/.test(error.message),
  );
});
