import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError, VivError } from '@vivarium/model';
import { copyIn, copyOut, extractTree, type FileDoor, packTree, readFile, writeFile } from './index.ts';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'viv-transfer-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

/** A guest whose root is a directory of this host. */
function guest(): FileDoor & { root: string } {
  const root = mkdtempSync(path.join(dir, 'guest-'));
  const at = (guestPath: string) => path.join(root, guestPath);
  return {
    root,
    stat: async (guestPath) => {
      const found = statSync(at(guestPath), { throwIfNoEntry: false });
      if (!found) throw new VivError('path_not_found', guestPath);
      const kind = found.isDirectory() ? 'directory' : 'file';
      return { path: guestPath, kind, sizeBytes: found.size, mode: 0, uid: 0, gid: 0, modifiedAt: '' };
    },
    putArchive: (guestDir, tar) => extractTree(tar, at(guestDir)),
    getArchive: (guestPath) => packTree(at(guestPath), path.basename(guestPath)),
  };
}

test('a directory goes in, becomes a new name, and comes out into an existing directory', async () => {
  const vm = guest();
  const source = mkdtempSync(path.join(dir, 'src-'));
  writeFileSync(path.join(source, 'file'), 'text');
  symlinkSync('file', path.join(source, 'link'));
  mkdirSync(path.join(vm.root, 'srv'));
  await copyIn(vm, source, '/srv/site');
  assert.equal(readFileSync(path.join(vm.root, 'srv/site/link'), 'utf8'), 'text');
  const out = mkdtempSync(path.join(dir, 'out-'));
  await copyOut(vm, '/srv/site', out);
  assert.equal(readFileSync(path.join(out, 'site/file'), 'utf8'), 'text');
  await copyOut(vm, '/srv/site/.', path.join(out, 'bare'));
  assert.equal(readFileSync(path.join(out, 'bare/file'), 'utf8'), 'text');
});

test('a dangling link is copied as the link it is', async () => {
  const vm = guest();
  symlinkSync('/not/there', path.join(dir, 'dangling'));
  const { entries } = await copyIn(vm, path.join(dir, 'dangling'), '/');
  assert.equal(entries, 1);
});

test('a file is written and read back, and a missing one is told', async () => {
  const vm = guest();
  await writeFile(vm, '/note', 'hello', { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
  assert.equal((await readFile(vm, '/note')).toString(), 'hello');
  await assert.rejects(readFile(vm, '/absent'), (e) => isVivError(e, 'path_not_found'));
  await assert.rejects(readFile(vm, '/'), (e) => isVivError(e, 'conflict'));
});
