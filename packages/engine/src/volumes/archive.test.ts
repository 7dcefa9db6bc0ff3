import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ErrorCode, isVivError } from '@vivarium/model';
import type { TarEntry } from '../images/tar/entry.ts';
import { padding } from '../images/tar/entry.ts';
import { readTar } from '../images/tar/reader.ts';
import { tarEnd, tarHeader } from '../images/tar/writer.ts';
import { checkedTar, gzipped, withoutTop } from './archive.ts';

const MiB = 1024 ** 2;

type Given = Partial<TarEntry> & Pick<TarEntry, 'name'> & { data?: string };

function tar(...entries: Given[]): Buffer {
  const parts = entries.map(({ data = '', ...given }) => {
    const size = given.size ?? data.length;
    const plain = {
      kind: 'file',
      linkName: '',
      mode: 0o644,
      uid: 7,
      gid: 8,
      mtime: 9,
      major: 0,
      minor: 0,
    } as const;
    const header = tarHeader({ ...plain, xattrs: new Map(), ...given, size });
    return Buffer.concat([header, Buffer.from(data), Buffer.alloc(padding(data.length))]);
  });
  return Buffer.concat([...parts, tarEnd]);
}

async function* stream(data: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 1000) yield data.subarray(at, at + 1000);
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function entriesOf(source: AsyncIterable<Uint8Array>): Promise<Record<string, unknown>[]> {
  const found: Record<string, unknown>[] = [];
  for await (const { entry, content } of readTar(source)) {
    const { name, kind, linkName, mode, uid, gid, mtime } = entry;
    found.push({ name, kind, linkName, mode, uid, gid, mtime, data: (await all(content)).toString() });
  }
  return found;
}

const checked = (data: Uint8Array, bytes = MiB, entries?: number) =>
  checkedTar(stream(data), { bytes, ...(entries === undefined ? {} : { entries }) });

async function refused(data: Uint8Array, code: ErrorCode, bounds: { bytes?: number; entries?: number } = {}) {
  await assert.rejects(all(checked(data, bounds.bytes, bounds.entries)), (error) => {
    assert.ok(isVivError(error, code), String(error));
    return true;
  });
}

describe('an archive for a volume', () => {
  it('goes on with owners, modes, times and links, plain or compressed', async () => {
    const archive = tar(
      { name: './', kind: 'directory', mode: 0o755 },
      { name: './dir/', kind: 'directory', mode: 0o2755 },
      { name: './dir/file', data: 'content', mode: 0o4755 },
      { name: 'dir/hard', kind: 'link', linkName: './dir/file' },
      { name: 'dir/soft', kind: 'symlink', linkName: '../dir/file' },
      { name: 'absolute', kind: 'symlink', linkName: '/etc/passwd' },
      { name: 'up', kind: 'symlink', linkName: '../../x' },
      { name: 'pipe', kind: 'fifo' },
      { name: 'removed', kind: 'character' },
    );
    for (const given of [archive, gzipSync(archive)]) {
      const found = await entriesOf(checked(given));
      assert.deepEqual(
        found.map(({ name }) => name),
        ['dir/', 'dir/file', 'dir/hard', 'dir/soft', 'absolute', 'up', 'pipe', 'removed'],
      );
      assert.deepEqual(found[1], {
        ...{ name: 'dir/file', kind: 'file', linkName: '', mode: 0o4755, uid: 7, gid: 8, mtime: 9 },
        data: 'content',
      });
      assert.deepEqual(
        found.slice(2, 6).map(({ linkName }) => linkName),
        ['dir/file', '../dir/file', '/etc/passwd', '../../x'],
      );
    }
  });

  const hostile: Record<string, Given[]> = {
    'an absolute name': [{ name: '/etc/passwd', data: 'x' }],
    'a name that climbs': [{ name: 'a/../../x', data: 'x' }],
    'a hard link to elsewhere': [{ name: 'a', kind: 'link', linkName: '/etc/passwd' }],
    'a hard link that climbs': [{ name: 'a', kind: 'link', linkName: '../x' }],
    'a character device': [{ name: 'a', kind: 'character', major: 1, minor: 5 }],
    'a block device': [{ name: 'a', kind: 'block', major: 8, minor: 0 }],
  };
  for (const [what, entries] of Object.entries(hostile)) {
    it(`with ${what} is hostile, and nothing of that is passed on`, async () => {
      await refused(tar({ name: 'good', data: 'x' }, ...entries), 'archive_hostile');
    });
  }

  it('with more entries than are accepted is hostile', async () => {
    const many = Array.from({ length: 12 }, (_, index) => ({ name: `f${index}` }));
    await refused(tar(...many), 'archive_hostile', { entries: 11 });
    assert.equal((await entriesOf(checked(tar(...many), MiB, 12))).length, 12);
  });

  it('with more content than the volume holds is too large, as soon as a header says so', async () => {
    await refused(tar({ name: 'a', size: 2 * MiB }), 'payload_too_large');
    await refused(tar({ name: 'a', data: 'x'.repeat(MiB) }, { name: 'b', data: 'x' }), 'payload_too_large');
  });

  it('that unpacks to hundreds of times its size is hostile', async () => {
    const bomb = gzipSync(tar({ name: 'zeros', data: '\0'.repeat(80 * MiB) }));
    await refused(bomb, 'archive_hostile', { bytes: 1024 * MiB });
  });

  it('that is cut off, damaged, empty or none is invalid', async () => {
    const whole = tar({ name: 'a', data: 'x'.repeat(5000) });
    await refused(whole.subarray(0, 3000), 'archive_invalid');
    await refused(gzipSync(whole).subarray(0, 60), 'archive_invalid');
    await refused(Buffer.alloc(0), 'archive_invalid');
    await refused(Buffer.from('no archive at all'.repeat(100)), 'archive_invalid');
    await refused(tar({ name: 'a', kind: 'symlink' }), 'archive_invalid');
    await refused(tar({ name: 'a', kind: 'symlink', linkName: 'x'.repeat(4096) }), 'archive_invalid');
  });
});

describe('an archive of a volume', () => {
  it('begins at its root, without what is the file system’s own', async () => {
    const out = tar(
      { name: 'volume/', kind: 'directory' },
      { name: 'volume/lost+found/', kind: 'directory' },
      { name: 'volume/a', data: 'x' },
      { name: 'volume/b', kind: 'link', linkName: 'volume/a' },
      { name: 'volume/c', kind: 'symlink', linkName: '/outside/a' },
      { name: 'volume/disk', kind: 'block', major: 8, minor: 0 },
      { name: 'volume/null', kind: 'character', major: 1, minor: 3 },
      { name: 'volume/removed', kind: 'character' },
    );
    const zipped = await all(gzipped(withoutTop(stream(out))));
    const found = await entriesOf(checked(zipped));
    assert.deepEqual(
      found.map(({ name, linkName }) => [name, linkName]),
      [
        ['a', ''],
        ['b', 'a'],
        ['c', '/outside/a'],
        ['removed', ''],
      ],
    );
  });

  it('is no bomb, however much of it is nothing', async () => {
    const zeros = async function* () {
      yield tar({ name: 'volume/zeros', size: 160 * MiB }).subarray(0, -tarEnd.length);
      for (let n = 0; n < 160; n++) yield Buffer.alloc(MiB);
      yield tar({ name: 'volume/words', data: 'words '.repeat(100_000) });
    };
    let [packed, unpacked] = [0, 0];
    const counted = async function* () {
      for await (const chunk of gzipped(withoutTop(zeros()))) {
        packed += chunk.length;
        yield chunk;
      }
    };
    for await (const chunk of checkedTar(counted(), { bytes: 1024 * MiB })) unpacked += chunk.length;
    assert.ok(unpacked > 160 * MiB);
    assert.ok(packed < unpacked / 50, `${packed} of ${unpacked}`);
  });

  it('breaks off where what is read does', async () => {
    const broken = async function* () {
      yield Buffer.alloc(MiB);
      throw new Error('cut off');
    };
    await assert.rejects(all(gzipped(broken())), /cut off/);
  });
});
