import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { check, Instance } from '@vivarium/api';
import { type ForkOptions, type InstanceInfo, Task, VivError, type Vm } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';
import { standingIn, withVms } from './testing/standing-in.ts';

let house: TestHouse;
const asked: ForkOptions[] = [];
let shown: Partial<InstanceInfo> = {};
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);

const members = (vm: Vm): Partial<Vm> => ({
  info: { ...vm.info, ...shown },
  fork: ({ signal: _, idempotencyKey: __, onProgress, ...options } = {}) =>
    new Task(async () => {
      asked.push(options);
      if (options.name === 'deaf') throw new VivError('identity_unsafe', 'It does not answer.');
      return Array.from({ length: options.count ?? 1 }, (_, index) => {
        const name = (options.name ?? 'copy-%d').replace('%d', String(index + 1));
        onProgress?.({ stage: 'copying', name, id: name });
        const info = { ...vm.info, name, forkedFrom: { instanceId: vm.id, snapshotId: 's' } };
        return standingIn(vm, { info, id: `id-of-${name}`, name });
      });
    }),
});

before(async () => {
  house = await openHouse({ behind: (engine) => withVms(engine, members) });
  await house.viv.create({ image: 'busybox', name: 'web' });
});
after(() => house[Symbol.asyncDispose]());

test('hypeman forks one instance, and says when its source may run', async () => {
  const one = await ask('POST', '/instances/web/fork', { body: { name: 'b', target_state: 'Standby' } });
  assert.equal(one.status, 201, one.text);
  assert.equal(check(Instance, one.json, 'copy').forked_from?.snapshot_id, 's');
  assert.deepEqual(asked.splice(0), [{ name: 'b', state: 'suspended' }]);
  shown = { state: 'Running' };
  const refused = await ask('POST', '/instances/web/fork', { body: { name: 'b' } });
  assert.deepEqual([refused.status, refused.json.code], [409, 'invalid_state']);
  assert.deepEqual(asked, []);
  const running = await ask('POST', '/instances/web/fork', { body: { name: 'b', from_running: true } });
  assert.equal(running.json.name, 'b');
  assert.deepEqual(asked.splice(0), [{ name: 'b' }]);
  shown = {};
});

test('several copies are an array, and so is one where an array was asked for', async () => {
  const names = ({ json }: Answer) => (json as unknown as Instance[]).map(({ name }) => name);
  assert.deepEqual(names(await ask('POST', '/instances/web/fork', { body: { count: 2 } })), [
    'copy-1',
    'copy-2',
  ]);
  assert.deepEqual(names(await ask('POST', '/instances/web/forks')), ['copy-1']);
  asked.splice(0);
  for (const body of [{ count: 0 }, { count: 1001 }, { target_state: 'Created' }, { number: 1 }]) {
    assert.equal((await ask('POST', '/instances/web/forks', { body })).status, 400, JSON.stringify(body));
  }
  assert.deepEqual(asked, []);
});

test('what the SDK asks of a fork reaches the engine, and its copies come back as VMs', async () => {
  const vm = await house.viv.get('web');
  const options = {
    count: 2,
    name: 'c%d',
    state: 'paused',
    tags: { a: 'b' },
    autoRemove: true,
    unsafeIdentity: true,
  } as const;
  shown = { state: 'Running' };
  const stages: unknown[] = [];
  const copies = await vm.fork({ ...options, onProgress: (stage) => stages.push(stage) });
  shown = {};
  assert.deepEqual(asked.splice(0), [options]);
  assert.deepEqual(
    copies.map(({ name, info }) => [name, info.forkedFrom]),
    [1, 2].map((n) => [`c${n}`, { instanceId: vm.id, snapshotId: 's' }]),
  );
  assert.deepEqual(stages, [
    { stage: 'copying', name: 'c1', id: 'c1' },
    { stage: 'copying', name: 'c2', id: 'c2' },
  ]);
});

test('a guest that can not be told who it is stays an error of its own', async () => {
  const vm = await house.viv.get('web');
  await assert.rejects(
    Promise.resolve(vm.fork({ name: 'deaf' })),
    (error) => error instanceof VivError && error.code === 'identity_unsafe',
  );
  asked.splice(0);
});
