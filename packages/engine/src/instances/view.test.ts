import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { InstanceInfo } from '@vivarium/model';
import { SimulatedDriver, SimulatedHost } from '../drivers/simulated/index.ts';
import type { Engine } from '../engine.ts';
import { openEngine } from '../open.ts';
import { simulatedParts } from '../parts.ts';

let home: string;
let engine: Engine;

beforeEach(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'viv-view-'));
  const driver = await simulatedParts(new SimulatedDriver(new SimulatedHost()));
  engine = await openEngine({ home, mode: 'daemon', driver });
});
afterEach(async () => {
  for await (const { id } of engine.all()) await (await engine.get(id)).delete({ force: true });
  await engine.close();
  rmSync(home, { recursive: true, force: true });
});

const shared = (): Readonly<InstanceInfo> => {
  const [only] = engine.listShared().items;
  assert.ok(only);
  return only;
};

test('an instance is shown by the same object as long as it is the same, and by another after each change', async () => {
  const vm = await engine.create({ image: 'busybox' });
  const seen = new Set<object>();
  const changes: Record<string, () => PromiseLike<unknown>> = {
    create: async () => undefined,
    start: () => vm.start(),
    pause: () => vm.pause(),
    resume: () => vm.resume(),
    rename: () => vm.rename('other'),
    stop: () => vm.stop({ force: true }),
    resize: () => vm.resizeDisk('20GB'),
  };
  for (const [name, change] of Object.entries(changes)) {
    await change();
    const info = shared();
    assert.ok(!seen.has(info), name);
    assert.deepEqual(info, vm.info, name);
    assert.equal(shared(), info, name);
    seen.add(info);
  }
});

test('what is being done with an instance is shown while it is done', async () => {
  const vm = await engine.create({ image: 'busybox' });
  shared();
  // It changes neither record nor state before its end.
  const since = engine.lastEvent;
  const resized = vm.resizeDisk('20GB');
  for await (const { type } of engine.events({ since })) if (type === 'operation') break;
  assert.ok(shared().operation);
  assert.deepEqual(shared(), vm.info);
  await resized;
  assert.equal(shared().operation, undefined);
});

test('a page that was given out by list is its receiver’s own', async () => {
  await engine.create({ image: 'busybox', name: 'mine' });
  shared();
  const [mine] = (await engine.list()).items;
  assert.ok(mine);
  mine.name = 'scribbled';
  assert.equal((await engine.list()).items[0]?.name, 'mine');
  assert.equal(shared().name, 'mine');
});
