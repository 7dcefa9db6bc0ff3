import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogLine } from '@vivarium/model';
import { collect, failure, read } from './expect.ts';
import type { Given, Traits } from './index.ts';

/** Says once that it has begun, and goes on. */
const cmd = ['sh', '-c', 'echo begun; sleep 100000'];

const texts = (lines: LogLine[]): string[] => lines.map(({ text }) => text);

export function suspendContract(given: Given, { disks }: Traits): void {
  describe('suspended instances', () => {
    it('have no VMM, and go on without a boot', async () => {
      await using vm = await given().run('busybox', { cmd });
      assert.deepEqual(texts(await collect(vm.logs({ follow: true }), 1)), ['begun']);
      await vm.files.writeFile('/tmp/kept', 'as it was');
      assert.deepEqual(await vm.suspend(), { changed: true, state: 'Suspended' });
      const info = await vm.refresh();
      assert.ok(Date.parse(info.suspendedAt ?? '') > 0);
      assert.equal(info.vmm, undefined);
      await failure(vm.exec(['true']), 'invalid_state');
      assert.deepEqual(await vm.suspend(), { changed: false, state: 'Suspended' });
      assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
      assert.equal((await vm.refresh()).suspendedAt, undefined);
      assert.equal(await read(vm, '/tmp/kept'), 'as it was');
      assert.deepEqual(texts(await collect(vm.logs())), ['begun']);
    });

    it('that were paused are paused again', async () => {
      await using vm = await given().run('busybox');
      await vm.pause();
      await vm.suspend();
      assert.deepEqual(await vm.start(), { changed: true, state: 'Paused' });
      assert.deepEqual(await vm.resume(), { changed: true, state: 'Running' });
    });

    it('start cold when they are told to, and their memory is gone then', async () => {
      await using vm = await given().run('busybox', { cmd });
      await collect(vm.logs({ follow: true }), 1);
      await vm.suspend();
      assert.deepEqual(await vm.start({ cold: true }), { changed: true, state: 'Running' });
      assert.equal((await vm.refresh()).suspendedAt, undefined);
      assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
    });

    const itKeepsDisks = disks ? it : () => undefined;
    itKeepsDisks('are Stopped once their memory is given up, and keep their disk', async () => {
      await using vm = await given().run('busybox');
      await vm.files.writeFile('/root/kept', 'on disk');
      // What has not been written out yet is memory too, and goes with it.
      await vm.restart();
      await failure(vm.discard(), 'invalid_state');
      await vm.suspend();
      await failure(vm.stop(), 'invalid_state');
      assert.deepEqual(await vm.discard(), { changed: true, state: 'Stopped' });
      assert.equal((await vm.refresh()).suspendedAt, undefined);
      await failure(vm.suspend(), 'invalid_state');
      await vm.start();
      assert.equal(await read(vm, '/root/kept'), 'on disk');
    });

    it('are deleted without force: nothing of them runs', async () => {
      const vm = await given().run('busybox');
      await vm.suspend();
      await vm.delete();
      await failure(given().get(vm.id), 'not_found');
    });
  });
}
