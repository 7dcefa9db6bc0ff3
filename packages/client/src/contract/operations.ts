import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasEnded } from '@vivarium/model';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

export function operationContract(given: Given): void {
  describe('operations', () => {
    it('an action is left to itself, watched from elsewhere, and ends with what came out of it', async () => {
      const { operations, run } = { operations: given().operations, run: given().run.bind(given()) };
      const asked = await run('busybox', { name: 'contract-detached' }).detach();
      assert.deepEqual([asked.action, asked.background], ['run', true]);
      const updates = await collect(operations.watch(asked.id));
      const stages = updates.flatMap((update) => ('progress' in update ? [update.progress.stage] : []));
      assert.ok(stages.includes('running'), `${stages}`);
      const ended = await operations.wait(asked.id);
      assert.equal(ended.state, 'done');
      assert.deepEqual(updates.at(-1), { operation: ended });
      const vm = await given().get('contract-detached');
      assert.deepEqual(ended.result, [{ kind: 'instance', id: vm.id, name: vm.name }]);
      assert.deepEqual(ended.resource, ended.result?.[0]);
      assert.deepEqual(await operations.get(asked.id), ended);
      await vm.delete({ force: true });
    });

    it('one action of an instance is one operation, however it was asked for', async () => {
      const vm = await given().create({ image: 'busybox' });
      const { id } = await vm.start().detach();
      const started = await given().operations.wait(id);
      assert.deepEqual([started.state, started.resource?.name], ['done', vm.name]);
      await vm.stop();
      const { items } = await given().operations.list({ instance: vm.id });
      assert.deepEqual(
        items.map(({ action, state }) => `${action} ${state}`),
        ['stop done', 'start done', 'create done'],
      );
      assert.equal(items[1]?.id, id);
      const actions = await given().operations.list({ instance: vm.name, actions: ['stop'], limit: 1 });
      assert.deepEqual(actions.items, items.slice(0, 1));
      assert.deepEqual((await given().operations.list({ instance: vm.id, states: ['failed'] })).items, []);
      await vm.delete();
      assert.equal((await given().operations.list({ instance: vm.id })).items[0]?.action, 'delete');
    });

    it('what is wrong with an action as things are is no operation', async () => {
      const vm = await given().create({ image: 'busybox' });
      const count = async () => (await collect(given().operations.all({ instance: vm.id }))).length;
      const before = await count();
      await failure(vm.suspend().detach(), 'invalid_state');
      await failure(given().create({ image: 'busybox', name: 'Bad Name' }).detach(), 'invalid_name');
      await failure(given().operations.get('absent'), 'not_found');
      await failure(given().operations.cancel('absent'), 'not_found');
      assert.equal(await count(), before);
      await vm.delete();
    });

    it('what fails in the background is told with its error, and nothing is left of it', async () => {
      const options = { name: 'contract-failing', cmd: ['no-such-program'] };
      const { id } = await given().run('busybox', options).detach();
      const ended = await given().operations.wait(id);
      assert.equal(ended.state, 'undone');
      assert.equal(ended.error?.code, 'command_not_found');
      await failure(given().get('contract-failing'), 'not_found');
    });

    it('a listing goes by pages, newest first, each operation once', async () => {
      const vm = await given().create({ image: 'busybox' });
      for (const name of ['contract-paged-1', 'contract-paged-2', 'contract-paged-3']) await vm.rename(name);
      for (let n = 0; n < 3; n++) {
        await vm.start();
        await vm.stop({ force: true });
      }
      const whole = (await given().operations.list({ instance: vm.id })).items;
      const paged = [];
      for (let cursor: string | undefined; ; ) {
        const page = await given().operations.list({ instance: vm.id, limit: 2, cursor });
        paged.push(...page.items);
        if (page.next === undefined) break;
        cursor = page.next;
      }
      assert.deepEqual(paged, whole);
      assert.equal(new Set(paged.map(({ id }) => id)).size, paged.length);
      assert.ok(paged.every(hasEnded));
      await failure(given().operations.list({ cursor: 'x' }), 'invalid_request');
      await failure(given().operations.list({ limit: 0 }), 'invalid_request');
      await vm.delete();
    });

    it('a pull is an operation of its own, with an event', async () => {
      const since = (await collect(given().events({ since: 0, follow: false }))).at(-1)?.seq ?? 0;
      const image = await given().images.pull('busybox');
      const [newest] = (await given().operations.list({ actions: ['pull'] })).items;
      assert.deepEqual([newest?.state, newest?.result?.[0]?.id], ['done', image.digest]);
      const events = await collect(given().events({ since, follow: false }));
      const about = events.map(({ type, resource }) => `${resource.kind} ${type}`);
      assert.deepEqual(about, ['operation operation', 'image pulled', 'operation operation']);
      assert.equal(events[0]?.resource.id, newest?.id);
    });
  });
}
