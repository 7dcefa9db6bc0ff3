import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { check, Instance } from '@vivarium/api';
import { type CallOptions, type InstanceInfo, Task, type Vm } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';
import { standingIn, withVms } from './testing/standing-in.ts';

const at = '2026-01-02T03:04:05.000Z';
let house: TestHouse;
const asked: string[] = [];
/** What the instance shows of itself, over what it is. */
let shown: Partial<InstanceInfo> = {};
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);

const members = (vm: Vm): Partial<Vm> => {
  const info = () => ({ ...vm.info, ...shown });
  return {
    info: info(),
    refresh: async () => info(),
    start: ({ cold }: CallOptions & { cold?: boolean } = {}) =>
      new Task(async () => {
        asked.push(`start ${cold}`);
        shown = {};
        return { changed: true, state: 'Running' as const };
      }),
    suspend: (options) =>
      new Task(async (onProgress) => {
        asked.push('suspend');
        for (const tell of [onProgress, options?.onProgress])
          tell?.({ stage: 'saved', pauseMilliseconds: 7 });
        shown = { state: 'Suspended', suspendedAt: at };
        return { changed: true, state: 'Suspended' as const };
      }),
    discard: async () => {
      asked.push('discard');
      shown = { state: 'Stopped' };
      return { changed: true, state: 'Stopped' };
    },
  };
};

/** Whether the driver says that it can save machines. */
let save = true;

before(async () => {
  house = await openHouse({
    behind: (engine) =>
      standingIn(withVms(engine, members), { capabilities: () => ({ ...engine.capabilities(), save }) }),
  });
  await house.viv.create({ image: 'busybox', name: 'web' });
});
after(() => house[Symbol.asyncDispose]());

test('hypeman’s standby and restore are a suspend and a start from what it saved', async () => {
  const standby = await ask('POST', '/instances/web/standby');
  assert.equal(standby.status, 200, standby.text);
  const instance = check(Instance, standby.json, 'instance');
  assert.deepEqual(
    [instance.state, instance.viv_state, instance.has_snapshot, instance.suspended_at, instance.changed],
    ['Standby', 'Suspended', true, at, true],
  );
  const restored = await ask('POST', '/instances/web/restore');
  assert.deepEqual([restored.status, restored.json.state], [200, 'Running'], restored.text);
  assert.deepEqual(asked.splice(0), ['suspend', 'start undefined']);
});

test('a restore where no memory is saved is refused before anything is started', async () => {
  shown = { state: 'Stopped' };
  const refused = await ask('POST', '/instances/web/restore');
  assert.deepEqual([refused.status, refused.json.code], [409, 'invalid_state']);
  assert.deepEqual(asked.splice(0), []);
});

test('compressed memory is refused, and asking for none of it is not', async () => {
  const body = { compression: { enabled: true, algorithm: 'zstd' } };
  assert.equal((await ask('POST', '/instances/web/standby', { body })).json.code, 'not_supported');
  assert.deepEqual(asked, []);
  const none = { compression: { enabled: false } };
  assert.equal((await ask('POST', '/instances/web/standby', { body: none })).status, 200);
  assert.deepEqual(asked.splice(0), ['suspend']);
});

test('the SDK suspends, starts cold and discards, with the stages on the way', async () => {
  const vm = await house.viv.get('web');
  const task = vm.suspend();
  const stages: unknown[] = [];
  for await (const stage of task) stages.push(stage);
  assert.deepEqual(stages, [{ stage: 'saved', pauseMilliseconds: 7 }]);
  assert.deepEqual(await task, { changed: true, state: 'Suspended' });
  assert.equal(vm.info.suspendedAt, at);
  await vm.start({ cold: true });
  assert.equal(vm.info.suspendedAt, undefined);
  assert.deepEqual(await vm.discard(), { changed: true, state: 'Stopped' });
  assert.deepEqual(asked.splice(0), ['suspend', 'start true', 'discard']);
});

test('a daemon says that it suspends and copies only where its driver can', async () => {
  const features = async () => (await ask('GET', '/capabilities')).json.features as string[];
  save = false;
  assert.ok(!(await features()).includes('standby'));
  save = true;
  for (const feature of ['standby', 'snapshots', 'fork']) assert.ok((await features()).includes(feature));
});
