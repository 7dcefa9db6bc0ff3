import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function fileContract(given: Given): void {
  describe('files', () => {
    let vm: Vm;
    let dir: string;
    before(async () => {
      dir = mkdtempSync(path.join(tmpdir(), 'viv-contract-'));
      vm = await given().run('busybox', { name: 'contract-files' });
    });
    after(async () => {
      rmSync(dir, { recursive: true, force: true });
      await vm.delete({ force: true });
    });

    it('are written, read and described', async () => {
      await vm.files.writeFile('/tmp/note', 'hello', { mode: 0o600 });
      assert.equal((await vm.files.readFile('/tmp/note')).toString(), 'hello');
      const stat = await vm.files.stat('/tmp/note');
      assert.equal(stat.kind, 'file');
      assert.equal(stat.sizeBytes, 5);
      assert.equal(stat.mode & 0o777, 0o600);
      assert.equal((await vm.files.stat('/')).kind, 'directory');
    });

    it('that are missing are told so, by every way to ask', async () => {
      await failure(vm.files.stat('/contract/absent'), 'path_not_found');
      await failure(vm.files.readFile('/contract/absent'), 'path_not_found');
      await failure(vm.files.copyOut('/contract/absent', dir), 'path_not_found');
      await failure(vm.files.copyIn(path.join(dir, 'absent'), '/tmp/'), 'path_not_found');
      await failure(vm.files.copyIn(dir, '/contract/absent/deep'), 'path_not_found');
    });

    it('come back from a copy in and out as they were', async () => {
      const tree = path.join(dir, 'tree');
      mkdirSync(path.join(tree, 'sub'), { recursive: true });
      writeFileSync(path.join(tree, 'sub/script'), '#!/bin/sh\n', { mode: 0o750 });
      writeFileSync(path.join(tree, 'big'), Buffer.alloc(3_000_000, 5));
      symlinkSync('sub/script', path.join(tree, 'link'));
      const sent = await vm.files.copyIn(tree, '/tmp/tree');
      assert.ok(sent.bytes >= 3_000_010);
      await vm.files.copyOut('/tmp/tree', path.join(dir, 'back'));
      const back = (name: string) => path.join(dir, 'back', name);
      assert.deepEqual(readFileSync(back('big')), readFileSync(path.join(tree, 'big')));
      assert.equal(statSync(back('sub/script')).mode & 0o777, 0o750);
      assert.equal(readlinkSync(back('link')), 'sub/script');
      assert.equal(
        Math.floor(statSync(back('big')).mtimeMs / 1000),
        Math.floor(statSync(path.join(tree, 'big')).mtimeMs / 1000),
      );
    });

    it('of a hostile archive are refused', async () => {
      const { packFile } = await import('@vivarium/archive');
      const header = { name: '../../../contract-escaped', mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 };
      await failure(vm.files.putArchive('/tmp', packFile(header, Buffer.from('x'))), 'archive_hostile');
      await failure(vm.files.stat('/contract-escaped'), 'path_not_found');
      async function* garbage() {
        yield Buffer.alloc(2000, 7);
      }
      await failure(vm.files.putArchive('/tmp', garbage()), 'archive_invalid');
    });
  });
}
