import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzed } from '../fuzz/document.ts';
import { fuzzRoutes } from '../fuzz/fuzz.ts';
import { fuzzSockets } from '../fuzz/sockets.ts';

/** The same every time; `npm run fuzz` takes another one each time, and longer. */
const seed = Number(process.env.VIV_FUZZ_SEED ?? 4);

test(`no route of the document breaks, or lets nonsense through, from seed ${seed}`, async () => {
  const runs = 10;
  assert.ok((await fuzzRoutes({ runs, seed })) >= runs * fuzzed.length);
});

test(`no socket breaks by what is said on it, from seed ${seed}`, async () => {
  await fuzzSockets({ runs: 15, seed });
});
