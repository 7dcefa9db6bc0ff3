import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { FileChange, Vm } from '@vivarium/model';
import { collect, failure, read } from './expect.ts';
import type { Given } from './index.ts';

export function fileStepContract(given: Given): void {
  describe('steps on files', () => {
    let vm: Vm;
    before(async () => {
      vm = await given().run('busybox', { name: 'contract-steps' });
    });
    after(() => vm.delete({ force: true }));

    it('make, list and remove directories', async () => {
      const { files } = vm;
      await failure(files.mkdir('/tmp/d/e'), 'path_not_found');
      await files.mkdir('/tmp/d/e', { parents: true, mode: 0o750 });
      await files.mkdir('/tmp/d/e', { parents: true });
      await failure(files.mkdir('/tmp/d/e'), 'conflict');
      assert.equal((await files.stat('/tmp/d/e')).mode, 0o750);
      await files.writeFile('/tmp/d/file', 'four');
      const listed = await files.list('/tmp/d');
      assert.deepEqual(
        listed.map(({ name, kind }) => [name, kind]),
        [
          ['e', 'directory'],
          ['file', 'file'],
        ],
      );
      assert.equal(listed[1]?.sizeBytes, 4);
      assert.ok(!Number.isNaN(Date.parse(listed[1]?.modifiedAt ?? '')));
      await failure(files.list('/tmp/d/file'), 'path_not_found');
      await failure(files.remove('/tmp/d'), 'conflict');
      assert.deepEqual(await files.remove('/tmp/d', { recursive: true }), { removed: 3 });
      await failure(files.remove('/tmp/d'), 'path_not_found');
      assert.deepEqual(await files.remove('/tmp/d', { force: true }), { removed: 0 });
      await failure(files.remove('/', { recursive: true }), 'invalid_request');
    });

    it('list a directory that takes several answers, in order', async () => {
      const { files } = vm;
      await files.mkdir('/tmp/many');
      const names = Array.from({ length: 450 }, (_, n) => `f${String(n).padStart(3, '0')}`);
      for (const name of names) await files.writeFile(`/tmp/many/${name}`, '');
      assert.deepEqual(
        (await files.list('/tmp/many')).map(({ name }) => name),
        names,
      );
      assert.deepEqual(await files.remove('/tmp/many', { recursive: true }), { removed: 451 });
    });

    it('rename, and replace only where that is wanted', async () => {
      const { files } = vm;
      await files.writeFile('/tmp/one', 'one');
      await files.writeFile('/tmp/two', 'two');
      await failure(files.rename('/tmp/one', '/tmp/two', { replace: false }), 'conflict');
      await files.rename('/tmp/one', '/tmp/two');
      assert.equal(await read(vm, '/tmp/two'), 'one');
      await failure(files.rename('/tmp/one', '/tmp/two'), 'path_not_found');
    });

    it('set modes and owners, and read parts of a file', async () => {
      const { files } = vm;
      await files.writeFile('/tmp/part', '0123456789');
      await files.setAttributes('/tmp/part', { mode: 0o4711, uid: 12, gid: 34 });
      const { mode, uid, gid } = await files.stat('/tmp/part');
      assert.deepEqual([mode, uid, gid], [0o4711, 12, 34]);
      const part = async (options: object) => (await files.readFile('/tmp/part', options)).toString();
      assert.equal(await part({ offset: 2, length: 3 }), '234');
      assert.equal(await part({ offset: 8 }), '89');
      assert.equal(await part({ length: 1 }), '0');
      assert.equal(await part({ offset: 99 }), '');
      await files.writeFile('/tmp/large', Buffer.alloc(100_000, 'abcdefg'));
      const large = await files.readFile('/tmp/large', { offset: 7, length: 70_000 });
      assert.ok(large.equals(Buffer.alloc(70_000, 'abcdefg')));
      await failure(files.readFile('/tmp/none', { offset: 1 }), 'path_not_found');
    });

    it('are watched: what happens is told in its order, until nobody wants to know or it is gone', async () => {
      const { files } = vm;
      await failure(files.watch('/tmp/none'), 'path_not_found');
      await files.mkdir('/tmp/w/sub', { parents: true });
      const changes = await files.watch('/tmp/w', { recursive: true });
      const told = (async () => {
        const seen: FileChange[] = [];
        try {
          for await (const change of changes) seen.push(change);
        } catch (error) {
          await failure(Promise.reject(error), 'path_not_found');
        }
        return seen.filter(({ kind }) => kind === 'created' || kind === 'renamed' || kind === 'removed');
      })();
      await files.mkdir('/tmp/w/sub/new');
      await files.rename('/tmp/w/sub/new', '/tmp/w/moved');
      await files.remove('/tmp/w/moved');
      await files.remove('/tmp/w/sub');
      await files.remove('/tmp/w');
      assert.deepEqual(await told, [
        { kind: 'created', path: '/tmp/w/sub/new' },
        { kind: 'renamed', path: '/tmp/w/moved', from: '/tmp/w/sub/new' },
        { kind: 'removed', path: '/tmp/w/moved' },
        { kind: 'removed', path: '/tmp/w/sub' },
        { kind: 'removed', path: '/tmp/w' },
      ]);
      const enough = new AbortController();
      const until = await files.watch('/tmp', { signal: enough.signal });
      const seen = collect(until, 1);
      await files.mkdir('/tmp/seen');
      assert.deepEqual(await seen, [{ kind: 'created', path: '/tmp/seen' }]);
      const more = collect(await files.watch('/tmp', { signal: enough.signal }));
      enough.abort();
      assert.deepEqual(await more, []);
    });
  });
}
