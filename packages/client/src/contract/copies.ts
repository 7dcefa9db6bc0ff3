import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceInfo, Vm } from '@vivarium/model';
import { collect, failure, read } from './expect.ts';
import type { Given } from './index.ts';

const names = (vms: readonly Vm[]): string[] => vms.map(({ name }) => name);

export function copiesContract(given: Given): void {
  describe('copies', () => {
    it('are the same instant of their source and other machines', async () => {
      await using source = await given().run('busybox', { name: 'contract-source', tags: { a: 'b' } });
      await source.files.writeFile('/tmp/both', 'before');
      const [copy, ...more] = await source.fork({ name: 'contract-copy' });
      assert.ok(copy);
      await using _ = copy;
      assert.deepEqual(more, []);
      assert.deepEqual(
        [copy.name, copy.info.state, copy.info.tags, copy.info.forkedFrom],
        ['contract-copy', 'Running', { a: 'b' }, { instanceId: source.id }],
      );
      assert.equal((await source.refresh()).state, 'Running');
      differ(source.info, copy.info);
      assert.equal((await copy.exec(['hostname'])).stdout.trim(), 'contract-copy');
      assert.equal(await read(copy, '/tmp/both'), 'before');
      await copy.files.writeFile('/tmp/both', 'of the copy');
      await source.files.writeFile('/tmp/both', 'of the source');
      assert.equal(await read(copy, '/tmp/both'), 'of the copy');
      await source.delete({ force: true });
      assert.equal(await read(copy, '/tmp/both'), 'of the copy');
    });

    it('are many at a time, numbered from 1, or with invented names', async () => {
      await using source = await given().run('busybox');
      const numbered = await source.fork({
        count: 3,
        name: 'contract-n%d',
        tags: { n: '' },
        state: 'running',
      });
      assert.deepEqual(names(numbered), ['contract-n1', 'contract-n2', 'contract-n3']);
      assert.equal(new Set(numbered.map(({ id }) => id)).size, 3);
      for (const { info } of numbered) assert.deepEqual([info.state, info.tags], ['Running', { n: '' }]);
      const invented = await source.fork({ count: 2, state: 'stopped' });
      assert.equal(new Set(names(invented)).size, 2);
      for (const vm of [...numbered, ...invented]) await vm.delete({ force: true });
    });

    it('come up as far as they were asked to', async () => {
      await using source = await given().run('busybox');
      const made: Vm[] = [];
      for (const [state, ends] of [
        ['suspended', 'Suspended'],
        ['paused', 'Paused'],
        ['stopped', 'Stopped'],
      ] as const) {
        const [copy] = await source.fork({ state });
        assert.equal(copy?.info.state, ends);
        made.push(copy);
      }
      const [suspended, paused, stopped] = made;
      assert.equal((await suspended?.start())?.state, 'Running');
      assert.equal((await paused?.resume())?.state, 'Running');
      assert.equal((await stopped?.start())?.state, 'Running');
      for (const vm of made) await vm.delete({ force: true });
    });

    it('of a stopped source are stopped, or boot', async () => {
      await using source = await given().create({ image: 'busybox' });
      const [stopped] = await source.fork();
      const [running] = await source.fork({ state: 'running' });
      assert.deepEqual([stopped?.info.state, running?.info.state], ['Stopped', 'Running']);
      await failure(source.fork({ state: 'suspended' }), 'invalid_state', 'invalid_request');
      for (const vm of [stopped, running]) await vm?.delete({ force: true });
    });

    it('of a suspended source are made from its memory, which stays', async () => {
      await using source = await given().run('busybox');
      await source.files.writeFile('/tmp/kept', 'in memory');
      await source.suspend();
      const [copy] = await source.fork({ state: 'running' });
      assert.ok(copy);
      await using _ = copy;
      assert.equal(await read(copy, '/tmp/kept'), 'in memory');
      assert.deepEqual(await source.start(), { changed: true, state: 'Running' });
    });

    it('are all made or none', async () => {
      const viv = given();
      await using source = await viv.run('busybox');
      await using _ = await viv.create({ image: 'busybox', name: 'contract-f2' });
      const before = (await collect(viv.all())).length;
      await failure(source.fork({ count: 2, name: 'contract-f%d' }), 'name_conflict');
      await failure(source.fork({ count: 2, name: 'contract-f' }), 'invalid_name', 'invalid_request');
      await failure(source.fork({ count: 0 }), 'invalid_request');
      await failure(source.fork({ signal: AbortSignal.abort() }), 'cancelled');
      assert.equal((await collect(viv.all())).length, before);
      assert.equal((await source.refresh()).state, 'Running');
    });
  });
}

/** Who can be told from the other at all. */
function differ(source: InstanceInfo, copy: InstanceInfo): void {
  assert.notEqual(copy.id, source.id);
  if (source.network !== undefined) assert.notEqual(copy.network?.mac, source.network.mac);
  for (const { hostPort } of source.ports)
    assert.ok(!copy.ports.some((port) => port.hostPort === hostPort), `port ${hostPort} of the source`);
}
