import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function imageContract(given: Given): void {
  describe('images', () => {
    it('in use are kept, and shown with who uses them', async () => {
      await using vm = await given().create({ image: 'busybox', name: 'contract-user' });
      const image = await given().images.get('busybox');
      assert.ok(image.usedBy.includes(vm.name));
      assert.ok((await given().images.list()).some(({ digest }) => digest === image.digest));
      assert.equal((await given().images.get(image.digest)).digest, image.digest);
      await failure(given().images.remove(image.digest), 'conflict');
    });

    it('are tagged, found by the tag, and lose it again', async () => {
      await given().images.pull('busybox');
      const tagged = await given().images.tag('busybox', 'localhost:5000/contract/tag:1');
      assert.ok(tagged.references.some((reference) => reference.includes('contract/tag')));
      assert.equal((await given().images.get('localhost:5000/contract/tag:1')).digest, tagged.digest);
      const removed = await given().images.remove('localhost:5000/contract/tag:1');
      assert.equal(removed.untagged.length, 1);
      await failure(given().images.get('localhost:5000/contract/tag:1'), 'image_not_found');
    });

    it('that are not here are told so', async () => {
      await failure(given().images.get('contract/absent'), 'image_not_found');
      await failure(given().images.remove('contract/absent'), 'image_not_found');
      await failure(given().images.import('/contract/absent.tar'), 'path_not_found');
    });
  });
}
