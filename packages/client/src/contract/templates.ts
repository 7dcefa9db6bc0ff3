import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function templateContract(given: Given): void {
  describe('templates', () => {
    it('are made once, listed, and removed', async () => {
      const { templates } = given();
      const made = await templates.warm({ image: 'busybox' });
      assert.ok(made.length > 0);
      const again = await templates.warm({ image: 'busybox' });
      assert.deepEqual(again.map(({ id }) => id).sort(), made.map(({ id }) => id).sort());
      const ids = (await templates.list()).map(({ id }) => id);
      for (const { id, sizeBytes } of made) {
        assert.match(id, /^[0-9a-f]{16}$/);
        assert.ok(ids.includes(id) && sizeBytes > 0);
      }
      assert.ok((await templates.remove(made[0]?.id ?? '')).freedBytes >= 0);
      await failure(templates.remove(made[0]?.id ?? ''), 'not_found');
      await templates.clear();
      assert.deepEqual(await templates.list(), []);
      assert.deepEqual(Object.keys(await templates.clear()), ['freedBytes']);
      await using vm = await given().run('busybox');
      assert.equal(vm.info.state, 'Running');
    });
  });
}
