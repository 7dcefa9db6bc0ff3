import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Vivarium } from '@vivarium/model';
import { processesBelow } from '../engine/real-engine.ts';
import { mulberry32, rounds, seed } from './moments.ts';
import { RealDaemon } from './real-daemon.ts';

/** What is under way when the daemon is killed, and the longest it takes here, in milliseconds. */
const work: { name: string; longestMs: number; prepare?: Work; run: Work }[] = [
  {
    name: 'create',
    longestMs: 120,
    run: async (viv) => void (await viv.create({ image: 'busybox', name: 'x' })),
  },
  {
    name: 'start',
    longestMs: 3000,
    prepare: async (viv) => void (await viv.create({ image: 'busybox', name: 'x' })),
    run: async (viv) => void (await (await viv.get('x')).start()),
  },
  {
    name: 'start, early',
    longestMs: 150,
    prepare: async (viv) => void (await viv.create({ image: 'busybox', name: 'x' })),
    run: async (viv) => void (await (await viv.get('x')).start()),
  },
  {
    name: 'stop',
    longestMs: 600,
    prepare: async (viv) => void (await viv.run('busybox', { name: 'x' })),
    run: async (viv) => void (await (await viv.get('x')).stop()),
  },
  {
    name: 'delete',
    longestMs: 150,
    prepare: async (viv) => void (await viv.run('busybox', { name: 'x' })),
    run: async (viv) => void (await (await viv.get('x')).delete({ force: true })),
  },
];

type Work = (viv: Vivarium) => Promise<void>;

describe(`vivd killed at any moment (seed ${seed})`, () => {
  let daemon: RealDaemon;
  const random = mulberry32(seed);
  before(async () => {
    daemon = await RealDaemon.start();
    await daemon.viv.run('busybox', { name: 'bystander' });
  });
  after(() => daemon[Symbol.asyncDispose]());

  for (const { name, longestMs, prepare, run } of work) {
    for (let round = 1; round <= rounds; round++) {
      test(`of a ${name}, round ${round}, leaves every VM where it really is and nothing else`, async () => {
        const { viv } = daemon;
        const bystander = await viv.get('bystander');
        const pids = await daemon.pids(bystander.id);
        await prepare?.(viv);
        const after = Math.round(random() * longestMs);
        const outcome = run(viv).then(
          () => 'done',
          (error: { code: string }) => error.code,
        );
        await delay(after);
        await daemon.kill();
        const answered = await outcome;
        await daemon.start();
        const context = `killed after ${after} ms; the call answered ${answered}`;
        await accountedFor(daemon, context);
        assert.deepEqual(await daemon.pids(bystander.id), pids, context);
        assert.equal((await bystander.exec(['echo', 'well'])).stdout, 'well\n', context);
        const left = await viv.get('x').catch(() => undefined);
        if (left?.info.state === 'Running')
          assert.equal((await left.exec(['echo', 'up'])).stdout, 'up\n', context);
        if (answered === 'done' && name === 'create') assert.ok(left, context);
        if (answered === 'done' && name === 'delete') assert.equal(left, undefined, context);
        // Whatever was left of it can be used and be removed.
        if (left?.info.state === 'Stopped') await left.start();
        await left?.delete({ force: true });
        await accountedFor(daemon, context);
      });
    }
  }
});

/** Every instance is in a stable state, and every process and directory belongs to one of them. */
async function accountedFor(daemon: RealDaemon, context: string): Promise<void> {
  const { items } = await daemon.viv.list();
  for (const { name, state, operation } of items) {
    assert.ok(['Stopped', 'Running'].includes(state), `${name} is ${state}; ${context}`);
    assert.equal(operation, undefined, context);
  }
  const running = items.filter(({ state }) => state === 'Running').length;
  const processes = await processesBelow(path.join(daemon.home, 'instances'), 0);
  assert.equal(processes.length, 2 * running, `${JSON.stringify(processes)}; ${context}`);
  assert.deepEqual(
    (await readdir(path.join(daemon.home, 'instances'))).sort(),
    items.map(({ id }) => id).sort(),
    context,
  );
}
