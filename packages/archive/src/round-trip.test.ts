import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { extractTree, packTree } from './index.ts';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'viv-archive-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

function tree(): string {
  const root = mkdtempSync(path.join(dir, 'tree-'));
  mkdirSync(path.join(root, 'sub/deep'), { recursive: true });
  writeFileSync(path.join(root, 'sub/file'), 'content');
  writeFileSync(path.join(root, 'empty'), '');
  writeFileSync(path.join(root, 'big'), Buffer.alloc(700_001, 7));
  writeFileSync(path.join(root, `${'long'.repeat(40)}-ü`), 'long name');
  chmodSync(path.join(root, 'sub/file'), 0o640);
  linkSync(path.join(root, 'sub/file'), path.join(root, 'zz-hard'));
  symlinkSync('sub/file', path.join(root, 'soft'));
  symlinkSync('/nowhere/at/all', path.join(root, 'dangling'));
  chmodSync(path.join(root, 'sub/deep'), 0o500);
  utimesSync(path.join(root, 'sub/file'), 1_000_000.5, 1_000_000.5);
  utimesSync(path.join(root, 'sub'), 2_000_000, 2_000_000);
  return root;
}

function describe(root: string): unknown[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  return names.map((name) => {
    const full = path.join(root, name);
    const stats = lstatSync(full);
    const content = stats.isFile()
      ? readFileSync(full, 'latin1')
      : stats.isSymbolicLink()
        ? readlinkSync(full)
        : '';
    return [name, stats.mode, stats.uid, stats.gid, stats.nlink, Math.round(stats.mtimeMs), content];
  });
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

test('a tree comes back the same: contents, modes, times, long names, symbolic and hard links', async () => {
  const root = tree();
  const target = mkdtempSync(path.join(dir, 'out-'));
  const seen: number[] = [];
  const result = await extractTree(packTree(root, 'copy', { onBytes: (bytes) => seen.push(bytes) }), target);
  assert.deepEqual(describe(path.join(target, 'copy')), describe(root));
  assert.equal(result.bytes, 700_001 + 7 + 9);
  assert.equal(seen.at(-1), result.bytes);
});

test('the system tar reads what is packed, and what it packs is read', async () => {
  const root = tree();
  const out = mkdtempSync(path.join(dir, 'system-'));
  execFileSync('tar', ['-xpf', '-', '-C', out], { input: await collect(packTree(root, 'copy')) });
  assert.deepEqual(describe(path.join(out, 'copy')), describe(root));
  for (const format of ['gnu', 'posix']) {
    const bytes = execFileSync('tar', ['-c', `--format=${format}`, '-C', root, '.'], { maxBuffer: 1e8 });
    const target = mkdtempSync(path.join(dir, format));
    await extractTree([bytes], target);
    const whole = (rows: unknown[]) =>
      format === 'gnu' ? rows.map((row) => (row as unknown[]).toSpliced(5, 1)) : rows;
    assert.deepEqual(whole(describe(target)), whole(describe(root)));
  }
});

test('a file is replaced, never written through a link that stands in its place', async () => {
  const target = mkdtempSync(path.join(dir, 'replace-'));
  const outside = path.join(dir, 'outside');
  writeFileSync(outside, 'mine');
  symlinkSync(outside, path.join(target, 'file'));
  const source = path.join(dir, 'source');
  writeFileSync(source, 'theirs');
  await extractTree(packTree(source, 'file'), target);
  assert.equal(readFileSync(outside, 'utf8'), 'mine');
  assert.equal(readFileSync(path.join(target, 'file'), 'utf8'), 'theirs');
});

test('a broken archive leaves the file that was there, and no part of the new one', async () => {
  const target = mkdtempSync(path.join(dir, 'broken-'));
  writeFileSync(path.join(target, 'file'), 'before');
  const source = path.join(dir, 'source2');
  writeFileSync(source, Buffer.alloc(50_000));
  const bytes = await collect(packTree(source, 'file'));
  await assert.rejects(extractTree([bytes.subarray(0, 20_000)], target), (e) =>
    isVivError(e, 'archive_invalid'),
  );
  assert.deepEqual(readdirSync(target), ['file']);
  assert.equal(readFileSync(path.join(target, 'file'), 'utf8'), 'before');
});

test('without root, owners and setuid bits are not taken over', async () => {
  const source = path.join(dir, 'setuid');
  writeFileSync(source, '#!');
  chmodSync(source, 0o4755);
  const target = mkdtempSync(path.join(dir, 'plain-'));
  await extractTree(packTree(source, 'setuid'), target, { owners: false });
  assert.equal(lstatSync(path.join(target, 'setuid')).mode & 0o7777, 0o755);
});

test('a missing source and a missing destination are told apart from everything else', async () => {
  await assert.rejects(collect(packTree(path.join(dir, 'absent'), 'x')), (e) =>
    isVivError(e, 'path_not_found'),
  );
  await assert.rejects(extractTree([] as never, path.join(dir, 'absent')), (e) =>
    isVivError(e, 'path_not_found'),
  );
});

test('an aborted copy stops', async () => {
  const controller = new AbortController();
  const pack = packTree(tree(), 'x', { signal: controller.signal, onBytes: () => controller.abort() });
  await assert.rejects(extractTree(pack, mkdtempSync(path.join(dir, 'abort-'))), (e) =>
    isVivError(e, 'cancelled'),
  );
});
