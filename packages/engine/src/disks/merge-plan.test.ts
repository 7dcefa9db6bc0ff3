import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptLayers } from './merge-plan.ts';

const cases: [why: string, fromTheTop: number[], kept: number][] = [
  ['the largest at the bottom stays', [1, 1, 1, 1, 1, 1, 1, 1, 100], 1],
  ['so does each that is larger than all above it', [1, 1, 1, 1, 1, 1, 10, 50, 100], 3],
  ['one that is not is merged, and all above it', [1, 1, 1, 1, 1, 1, 60, 50, 200], 1],
  ['those of one size become one', [1, 1, 1, 1, 1, 1, 1, 1, 1], 0],
  ['most of them go, whatever their sizes are', [1, 2, 4, 8, 16, 32, 64, 128, 256], 4],
  ['two become one at least', [1, 100], 0],
  ['one alone is merged with nothing but the top', [1], 0],
];
for (const [why, sizes, kept] of cases)
  test(`${why}: ${sizes.join(' ')}`, () => assert.equal(keptLayers(sizes), kept));

test('a layer is copied a few times only, however often one is put on', () => {
  let [under, copied]: [number[], number] = [[], 0];
  for (let times = 0; times < 1000; times++) {
    under = [1, ...under];
    if (under.length <= 8) continue;
    const kept = keptLayers(under);
    const merged = under.slice(0, under.length - kept).reduce((sum, size) => sum + size, 0);
    copied += merged;
    under = [merged, ...under.slice(under.length - kept)];
    assert.ok(under.length <= 5, `${under}`);
  }
  assert.ok(copied < 10 * 1000, `${copied} for 1000`);
});
