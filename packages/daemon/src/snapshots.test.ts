import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { check, Instance, Snapshot } from '@vivarium/api';
import {
  type InstanceInfo,
  isVivError,
  type SnapshotInfo,
  type Snapshots,
  Task,
  type Vivarium,
  VivError,
  type Vm,
  type VmSnapshots,
} from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';
import { withRooms, withVms } from './testing/standing-in.ts';

let house: TestHouse;
let asked: unknown[] = [];
let shown: Partial<InstanceInfo> = {};
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);

const base: SnapshotInfo = {
  id: 'snapshotid1',
  name: 'base',
  instanceId: 'sourceid',
  instanceName: 'web',
  state: 'running',
  hasMemory: true,
  image: { reference: 'docker.io/library/busybox:latest', digest: 'sha256:1' },
  cpus: 2,
  memoryBytes: 256 * 2 ** 20,
  diskBytes: 10 * 2 ** 30,
  sizeBytes: 5,
  createdAt: '2026-01-02T03:04:05.000Z',
};
const bare: SnapshotInfo = {
  ...base,
  id: 'snapshotid2',
  name: 'bare',
  state: 'stopped',
  hasMemory: false,
  parentId: base.id,
  tags: { of: 'bare' },
  expiresAt: '2027-01-02T03:04:05.000Z',
};

async function found(nameOrId: string): Promise<SnapshotInfo> {
  const snapshot = [base, bare].find(({ id, name }) => id === nameOrId || name === nameOrId);
  if (snapshot === undefined) throw new VivError('not_found', `No snapshot ${nameOrId}`);
  return snapshot;
}

const snapshots: VmSnapshots = {
  schedule: { get: async () => undefined, set: async () => assert.fail(), remove: async () => undefined },
  create: ({ signal: _, idempotencyKey: __, onProgress, ...options } = {}) =>
    new Task(async () => {
      asked.push(['create', options]);
      onProgress?.({ stage: 'saved', pauseMilliseconds: 3 });
      return base;
    }),
  list: async () => [base, bare],
  get: found,
  restore: (name) =>
    new Task(async () => {
      const { id, hasMemory } = await found(name);
      asked.push(['restore', id]);
      const state = hasMemory ? ('Suspended' as const) : ('Stopped' as const);
      shown = { state };
      return { changed: true, state };
    }),
  remove: async (name) => void asked.push(['remove', (await found(name)).id]),
};

const members = (vm: Vm): Partial<Vm> => ({
  snapshots,
  info: { ...vm.info, ...shown },
  refresh: async () => ({ ...vm.info, ...shown }),
  start: () =>
    new Task(async () => {
      asked.push(['start']);
      shown = { state: 'Running' };
      return { changed: true, state: 'Running' as const };
    }),
  discard: async () => {
    asked.push(['discard']);
    shown = { state: 'Stopped' };
    return { changed: true, state: 'Stopped' as const };
  },
});

const all = (viv: Vivarium): Snapshots => ({
  list: async ({ instance } = {}) =>
    instance === undefined || instance === base.instanceId ? [base, bare] : [],
  get: found,
  fork: (id, { signal: _, onProgress: __, idempotencyKey: ___, ...options } = {}) =>
    new Task(async () => {
      asked.push(['fork', id, options]);
      const vm = await viv.get('web');
      return Array.from({ length: options.count ?? 1 }, () => vm);
    }),
  remove: async (id) => void asked.push(['remove', (await found(id)).id]),
});

before(async () => {
  house = await openHouse({
    behind: (engine) => withRooms(withVms(engine, members), { snapshots: all(engine) }),
  });
  await house.viv.create({ image: 'busybox', name: 'web' });
});
beforeEach(() => {
  asked = [];
  shown = {};
});
after(() => house[Symbol.asyncDispose]());

test('hypeman makes, lists, finds and removes snapshots', async () => {
  const made = await ask('POST', '/instances/web/snapshots', { body: { kind: 'Stopped', name: 'base' } });
  assert.equal(made.status, 201, made.text);
  const { kind, source_state, size } = check(Snapshot, made.json, 'snapshot');
  assert.deepEqual([kind, source_state, size], ['Standby', 'Running', '256MB']);
  const names = async (query: string) =>
    ((await ask('GET', `/snapshots${query}`)).json as unknown as Snapshot[]).map(({ name }) => name);
  assert.deepEqual(await names(''), ['base', 'bare']);
  assert.deepEqual(await names('?kind=Stopped'), ['bare']);
  assert.deepEqual(await names('?name=base'), ['base']);
  assert.deepEqual(await names('?source_instance_id=other'), []);
  assert.deepEqual(await names('?tags[a]=b'), []);
  assert.equal((await ask('GET', '/snapshots/snapshotid2')).json.parent_id, base.id);
  assert.equal((await ask('GET', '/snapshots/absent')).status, 404);
  assert.deepEqual(await ask('DELETE', '/snapshots/snapshotid1').then(({ status, text }) => [status, text]), [
    204,
    '',
  ]);
  assert.deepEqual(asked, [
    ['create', { name: 'base' }],
    ['remove', base.id],
  ]);
});

test('a kind that the instance can not give and compression are refused before anything is saved', async () => {
  for (const [body, status] of [
    [{ kind: 'Standby' }, 409],
    [{ kind: 'Sleeping' }, 400],
    [{ compression: { enabled: true } }, 501],
  ] as const) {
    assert.equal((await ask('POST', '/instances/web/snapshots', { body })).status, status);
  }
  shown = { state: 'Running' };
  assert.equal((await ask('POST', '/instances/web/snapshots', { body: { kind: 'Stopped' } })).status, 409);
  assert.deepEqual(asked, []);
});

test('a snapshot keeps its tags, and a listing goes by them', async () => {
  const made = await ask('POST', '/instances/web/snapshots', { body: { tags: { by: 'me' } } });
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(asked, [['create', { tags: { by: 'me' } }]]);
  const tagged = (await ask('GET', '/snapshots?tags[of]=bare')).json as unknown as Snapshot[];
  assert.deepEqual(
    tagged.map(({ name, tags }) => [name, tags]),
    [['bare', { of: 'bare' }]],
  );
});

test('a restore ends in the state that hypeman asks for', async () => {
  const restore = async (name: string, body: object) => {
    asked = [];
    const answer = await ask('POST', `/instances/web/snapshots/${name}/restore`, { body });
    return [answer.json.state ?? answer.json.code, ...asked.map((call) => (call as string[])[0])];
  };
  assert.deepEqual(await restore('base', {}), ['Running', 'restore', 'start']);
  assert.deepEqual(await restore('base', { target_state: 'Standby' }), ['Standby', 'restore']);
  assert.deepEqual(await restore('base', { target_state: 'Stopped' }), ['Stopped', 'restore', 'discard']);
  assert.deepEqual(await restore('base', { start: false }), ['Standby', 'restore']);
  assert.deepEqual(await restore('bare', {}), ['Stopped', 'restore']);
  assert.deepEqual(await restore('bare', { target_state: 'Running' }), ['Running', 'restore', 'start']);
  assert.deepEqual(await restore('bare', { target_state: 'Standby' }), ['invalid_state']);
  assert.deepEqual(await restore('base', { target_hypervisor: 'vz' }), ['not_supported']);
});

test('a copy of a snapshot with memory runs where hypeman asked, and is as the snapshot where we did', async () => {
  const one = await ask('POST', '/snapshots/snapshotid1/fork', { body: { name: 'c' } });
  assert.equal(one.status, 201, one.text);
  check(Instance, one.json, 'copy');
  await ask('POST', '/snapshots/snapshotid2/fork', { body: { name: 'd' } });
  const two = await ask('POST', '/snapshots/snapshotid1/forks', { body: { count: 2 } });
  assert.equal((two.json as unknown as unknown[]).length, 2);
  assert.deepEqual(asked, [
    ['fork', base.id, { name: 'c', state: 'running' }],
    ['fork', bare.id, { name: 'd', state: 'stopped' }],
    ['fork', base.id, { count: 2 }],
  ]);
});

test('the SDK has the snapshots of a VM and of all of them', async () => {
  const vm = await house.viv.get('web');
  const stages: string[] = [];
  const made = vm.snapshots.create({
    name: 'x%d',
    expires: '1d 3H',
    onProgress: ({ stage }) => stages.push(stage),
  });
  assert.deepEqual(await made, base);
  assert.deepEqual(stages, ['saved']);
  assert.deepEqual(await vm.snapshots.list(), [base, bare]);
  assert.deepEqual(await vm.snapshots.get('bare'), bare);
  assert.deepEqual(await vm.snapshots.restore('base'), { changed: true, state: 'Suspended' });
  assert.equal(vm.info.state, 'Suspended');
  await vm.snapshots.remove('bare');
  assert.deepEqual(await house.viv.snapshots.list({ instance: 'other' }), []);
  assert.deepEqual(await house.viv.snapshots.list(), [base, bare]);
  assert.deepEqual(await house.viv.snapshots.get(bare.id), bare);
  const [copy] = await house.viv.snapshots.fork(base.id, { state: 'paused' });
  assert.equal(copy?.name, 'web');
  await house.viv.snapshots.remove(base.id);
  await assert.rejects(house.viv.snapshots.get('absent'), (error) => isVivError(error, 'not_found'));
  assert.deepEqual(asked, [
    ['create', { name: 'x%d', expires: '1d 3H' }],
    ['restore', base.id],
    ['remove', bare.id],
    ['fork', base.id, { state: 'paused' }],
    ['remove', base.id],
  ]);
});
