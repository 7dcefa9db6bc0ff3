import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { check, Instance, Pool as WirePool } from '@vivarium/api';
import {
  type CallOptions,
  isVivError,
  type Pool,
  type PoolEvent,
  type PoolInfo,
  type Pools,
  type Vivarium,
  VivError,
  type Vm,
} from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';
import { withRooms } from './testing/standing-in.ts';

let house: TestHouse;
let asked: unknown[] = [];
/** What an acquire does. */
let acquire: (options: CallOptions) => Promise<Vm>;
let events: (options: { since?: number; signal?: AbortSignal }) => AsyncIterable<PoolEvent>;
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);
const at = '2026-01-02T03:04:05.000Z';
const event = (seq: number): PoolEvent => ({ seq, at, pool: 'web', type: 'ready', data: { n: seq } });

const info: PoolInfo = {
  name: 'web',
  image: 'busybox',
  size: 2,
  stage: 'running',
  ready: 1,
  creating: 1,
  acquired: 0,
  health: 'filling',
  createdAt: at,
};

const pool: Pool = {
  name: 'web',
  info,
  refresh: async () => ({ ...info, ready: 2 }),
  acquire: (options = {}) => acquire(options),
  release: async (name) => void asked.push(['release', name]),
  events: (options = {}) => events(options),
  remove: async (options) => void asked.push(['remove', options]),
  [Symbol.asyncDispose]: async () => undefined,
};

const pools: Pools = {
  create: async (name, { signal: _, idempotencyKey: __, onProgress, ...options }) => {
    asked.push(['create', name, options]);
    onProgress?.({ stage: 'booting' });
    return pool;
  },
  get: async (name) => {
    if (name !== 'web') throw new VivError('not_found', `No pool ${name}`);
    return pool;
  },
  list: async () => [info],
};

before(async () => {
  house = await openHouse({ behind: (engine) => withRooms(engine, { pools }) });
});
beforeEach(() => {
  asked = [];
  acquire = async () => assert.fail('acquired');
});
after(() => house[Symbol.asyncDispose]());

const ready = async (viv: Vivarium = house.viv): Promise<Vm> => viv.run('busybox');

test('the SDK makes, finds, lists and removes pools', async () => {
  const { viv } = house;
  const stages: string[] = [];
  const options = { image: 'busybox', size: 4, stage: 'suspended', memory: '1GB', wait: false } as const;
  const made = await viv.pools.create('web', { ...options, onProgress: ({ stage }) => stages.push(stage) });
  assert.deepEqual([made.name, made.info, stages], ['web', info, ['booting']]);
  assert.equal((await made.refresh()).ready, 2);
  assert.equal(made.info.ready, 2);
  assert.deepEqual(await viv.pools.list(), [info]);
  await (await viv.pools.get('web')).remove({ keepAcquired: true });
  await assert.rejects(viv.pools.get('absent'), (error) => isVivError(error, 'not_found'));
  {
    await using _ = await viv.pools.get('web');
  }
  assert.deepEqual(asked, [
    ['create', 'web', options],
    ['remove', { keepAcquired: true }],
    ['remove', { keepAcquired: false }],
  ]);
});

test('a VM of a pool is deleted at the end of its scope, or given back by name', async () => {
  acquire = () => ready(house.engine);
  const found = await house.viv.pools.get('web');
  let id: string;
  {
    await using vm = await found.acquire();
    id = vm.id;
    assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
  }
  await assert.rejects(house.viv.get(id), (error) => isVivError(error, 'not_found'));
  await found.release('some-vm');
  assert.deepEqual(asked, [['release', 'some-vm']]);
});

test('who stops waiting for a VM ends its acquire, with stages and without', async () => {
  for (const headers of [{}, { accept: 'application/x-ndjson' }]) {
    const waiting = Promise.withResolvers<AbortSignal>();
    acquire = ({ signal }) => {
      assert.ok(signal);
      waiting.resolve(signal);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const sent = request({
      socketPath: house.daemon.socket,
      method: 'POST',
      path: '/pools/web/acquire',
      headers,
    });
    sent.on('error', () => undefined).end();
    const signal = await waiting.promise;
    sent.destroy();
    await new Promise((resolve) => {
      if (signal.aborted) resolve(undefined);
      signal.addEventListener('abort', resolve);
    });
  }
});

test('a VM that comes when nobody waits any more is given back', async () => {
  const vm = await ready(house.engine);
  const waiting = Promise.withResolvers<AbortSignal>();
  const released = Promise.withResolvers<string>();
  acquire = async ({ signal }) => {
    assert.ok(signal);
    waiting.resolve(signal);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return vm;
  };
  const { release } = pool;
  pool.release = async (id) => released.resolve(id);
  const sent = request({ socketPath: house.daemon.socket, method: 'POST', path: '/pools/web/acquire' });
  sent.on('error', () => undefined).end();
  await waiting.promise;
  sent.destroy();
  assert.equal(await released.promise, vm.id);
  pool.release = release;
});

test('events come until the pool has ended, from the one that was seen last', async () => {
  const since: unknown[] = [];
  events = async function* (options) {
    since.push(options.since);
    yield event((options.since ?? 0) + 1);
    yield event((options.since ?? 0) + 2);
  };
  const found = await house.viv.pools.get('web');
  const seen: PoolEvent[] = [];
  for await (const one of found.events({ since: 5 })) seen.push(one);
  assert.deepEqual(seen, [event(6), event(7)]);
  const { text } = await ask('GET', '/pools/web/events', { headers: { 'last-event-id': '8' } });
  assert.match(text, /^id: 9\nevent: ready\ndata: \{"seq":9,/);
  assert.equal((await ask('GET', '/pools/absent/events')).status, 404);
  assert.deepEqual(since, [5, 8]);
});

test('a pool says of its VMs what it can not do, and misspelt fields are named', async () => {
  const made = async (instance: object, more = {}) =>
    ask('POST', '/pools', { body: { name: 'web', instance: { image: 'busybox', ...instance }, ...more } });
  assert.match(String((await made({ devices: [] })).json.message), /"instance.devices"/);
  assert.match(String((await made({ name: 'x' })).json.message), /"instance.name"/);
  assert.equal((await made({ cmdd: [] })).json.hint, 'Did you mean cmd?');
  assert.equal((await made({ network: { egress: { enabled: true } } })).json.code, 'not_supported');
  assert.equal((await made({}, { size: 0 })).status, 400);
  assert.deepEqual(asked, []);
  const good = await made({}, { size: 3 });
  assert.equal(good.status, 201, good.text);
  check(WirePool, good.json, 'pool');
  assert.deepEqual(asked, [['create', 'web', { image: 'busybox', size: 3 }]]);
});

test('what is acquired is an instance as any other', async () => {
  acquire = () => ready(house.engine);
  const { json } = await ask('POST', '/pools/web/acquire');
  assert.equal(check(Instance, json, 'instance').state, 'Running');
});
