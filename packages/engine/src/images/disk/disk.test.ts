import assert from 'node:assert/strict';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { run, temporaryDirectory } from '../fixtures/layout.ts';
import { buildGpt } from './gpt.ts';
import { diskFiles, writeLayerDisk } from './layer-disk.ts';

/** Checks a header and its table as firmware would. */
function checkHeader(disk: Buffer, sector: number): { first: bigint; last: bigint }[] {
  const header = Buffer.from(disk.subarray(sector * 512, sector * 512 + 92));
  assert.equal(header.toString('latin1', 0, 8), 'EFI PART');
  assert.equal(header.readBigUInt64LE(24), BigInt(sector));
  const promised = header.readUInt32LE(16);
  header.writeUInt32LE(0, 16);
  assert.equal(crc32(header), promised);
  const start = Number(header.readBigUInt64LE(72)) * 512;
  const table = disk.subarray(start, start + header.readUInt32LE(80) * header.readUInt32LE(84));
  assert.equal(crc32(table), header.readUInt32LE(88));
  const found: { first: bigint; last: bigint }[] = [];
  for (let at = 0; at < table.length; at += 128) {
    const first = table.readBigUInt64LE(at + 32);
    const last = table.readBigUInt64LE(at + 40);
    if (last === 0n) continue;
    assert.ok(
      first >= header.readBigUInt64LE(40) && last <= header.readBigUInt64LE(48),
      'inside the usable sectors',
    );
    found.push({ first, last });
  }
  return found;
}

test('any number of partitions gives a table whose two copies are right and agree', () => {
  const pages = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 255 });
  fc.assert(
    fc.property(pages, (sizes) => {
      const gpt = buildGpt(
        sizes.map((size) => size * 4096),
        'seed',
      );
      const content = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0) * 4096);
      const disk = Buffer.concat([gpt.head, content, gpt.tail]);
      assert.equal(disk.length, gpt.totalSectors * 512);
      assert.equal(disk.length % 4096, 0);
      const partitions = checkHeader(disk, 1);
      assert.deepEqual(checkHeader(disk, gpt.totalSectors - 1), partitions);
      assert.equal(partitions.length, sizes.length);
      let expected = BigInt(gpt.head.length / 512);
      for (const [at, { first, last }] of partitions.entries()) {
        assert.equal(first, expected);
        assert.equal(first % 8n, 0n);
        expected = last + 1n;
        assert.equal(Number(last - first + 1n) * 512, (sizes[at] ?? 0) * 4096);
      }
    }),
    { numRuns: 50 },
  );
});

test('a size that is not whole pages is a mistake of the caller', () => {
  assert.throws(() => buildGpt([4095], 'seed'), RangeError);
  assert.throws(() => buildGpt([0], 'seed'), RangeError);
});

async function makeDisk(root: string, count: number): Promise<{ dir: string; layers: Buffer[] }> {
  const dir = path.join(root, 'manifests', 'x'.repeat(64));
  await mkdir(path.join(root, 'layers'), { recursive: true });
  await mkdir(dir, { recursive: true });
  const layers = Array.from({ length: count }, (_, at) =>
    Buffer.alloc(4096 * (1 + (at % 3)), `layer ${at} `),
  );
  for (const [at, layer] of layers.entries()) await writeFile(path.join(root, 'layers', `${at}.sqfs`), layer);
  const extents = layers.map((layer, at) => ({ file: `../../layers/${at}.sqfs`, bytes: layer.length }));
  await writeLayerDisk(dir, extents, 'ab'.repeat(32));
  return { dir, layers };
}

test('QEMU reads all layers as one disk, also after the data directory has moved', async () => {
  await using temporary = await temporaryDirectory();
  for (const count of [1, 2, 60, 128, 200]) {
    const before = path.join(temporary.dir, `before-${count}`);
    const after = path.join(temporary.dir, `after ${count}`);
    const { dir, layers } = await makeDisk(before, count);
    await rename(before, after);
    const descriptor = path.join(after, path.relative(before, dir), diskFiles.descriptor);
    const flat = path.join(temporary.dir, `${count}.raw`);
    await run('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', descriptor, flat]);
    const disk = await readFile(flat);
    const partitions = checkHeader(disk, 1);
    assert.equal(partitions.length, count);
    for (const [at, { first }] of partitions.entries()) {
      const start = Number(first) * 512;
      assert.ok(
        disk.subarray(start, start + (layers[at]?.length ?? 0)).equals(layers[at] ?? Buffer.alloc(0)),
        `layer ${at}`,
      );
    }
    const { stdout } = await run('partx', ['--show', '--noheadings', '--output', 'NR,NAME', flat]);
    assert.equal(stdout.trim().split('\n').length, count, 'util-linux sees the same partitions');
  }
});

test('more layers than a guest has partitions for are refused', async () => {
  await using temporary = await temporaryDirectory();
  const layers = Array.from({ length: 256 }, () => ({ file: 'x', bytes: 4096 }));
  await assert.rejects(writeLayerDisk(temporary.dir, layers, 'ab'.repeat(32)), (error) =>
    isVivError(error, 'not_supported'),
  );
});
