import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { examples, passes } from '../examples/run.ts';
import { VivHome } from './cli/viv.ts';

describe('an example prints what it says', async () => {
  let home: VivHome;
  before(async () => {
    home = await VivHome.make();
  });
  after(() => home[Symbol.asyncDispose]());

  for (const file of await examples()) {
    test(file, async () => {
      assert.ok(await passes(file, home.env));
      assert.equal(await home.ok('ls', '-q'), '', 'nothing is left');
    });
  }
});
