import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function idempotencyContract(given: Given): void {
  describe('requests with a key', () => {
    it('make one VM, whether they come at once or one after the other', async () => {
      const create = () => given().create({ image: 'busybox' }, { idempotencyKey: 'contract create' });
      const [one, two] = await Promise.all([create(), create()]);
      await using vm = one;
      assert.equal(two.id, vm.id);
      assert.equal((await create()).id, vm.id);
      const other = given().create({ image: 'busybox', cpus: 2 }, { idempotencyKey: 'contract create' });
      await failure(other, 'conflict');
      await failure(given().create({ image: 'busybox' }, { idempotencyKey: 'no\nkey' }), 'invalid_request');
    });

    it('without one each make their own', async () => {
      await using one = await given().create({ image: 'busybox' });
      await using two = await given().create({ image: 'busybox' });
      assert.notEqual(one.id, two.id);
    });

    it('do not make what was deleted again', async () => {
      const create = () => given().create({ image: 'busybox' }, { idempotencyKey: 'contract deleted' });
      await (await create()).delete();
      await failure(create(), 'not_found');
    });
  });
}
