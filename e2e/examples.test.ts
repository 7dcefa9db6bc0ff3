import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { examples, passes } from '../examples/run.ts';
import { VivHome } from './cli/viv.ts';

describe('an example prints what it says', async () => {
  for (const file of await examples()) {
    test(file, async () => {
      await using home = await VivHome.make();
      assert.ok(await passes(file, home.env));
      assert.equal(await home.ok('ls', '-q'), '', 'nothing is left');
    });
  }
});
