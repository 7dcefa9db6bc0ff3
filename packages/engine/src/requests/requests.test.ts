import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MakingOptions } from '@vivarium/model';
import { allFaultPoints, type FaultPointName, faultPoints } from '../drivers/simulated/faults.ts';
import { chunked, tarOf } from '../images/fixtures/tar-of.ts';
import { failure, House } from '../instances/fixtures/house.ts';

type Ask = (house: House, options: MakingOptions) => Promise<string[]>;

const once = { idempotencyKey: 'once' };
const ids = (things: readonly { id: string }[]) => things.map(({ id }) => id).sort();
const source = (house: House) => house.engine.get('source');

const archive = (content: string) => chunked(tarOf([{ name: 'file', content }]));

interface Kind {
  /** Makes it, and answers the ids of what was made. */
  ask: Ask;
  /** Ids of all of the kind that there are. */
  there(house: House): Promise<string[]>;
  /** Before it can be asked for. */
  before?(house: House): Promise<unknown>;
}

const instances = async (house: House) =>
  ids((await house.engine.list()).items.filter(({ name, pool }) => name !== 'source' && pool === undefined));

const kinds: Record<string, Kind> = {
  create: {
    ask: async ({ engine }, options) => [
      (await engine.create({ image: 'busybox', name: 'one' }, options)).id,
    ],
    there: instances,
  },
  run: {
    ask: async ({ engine }, options) => {
      const vm = await engine.run('busybox', { name: 'one' }, options);
      assert.equal(vm.info.state, 'Running');
      return [vm.id];
    },
    there: instances,
  },
  fork: {
    ask: async (house, options) => {
      const copies = await (await source(house)).fork({ count: 3, name: 'c-%d', ...options });
      assert.deepEqual(
        copies.map(({ name, info }) => [name, info.state]),
        [1, 2, 3].map((number) => [`c-${number}`, 'Running']),
      );
      return ids(copies);
    },
    there: instances,
  },
  'fork of a stopped one': {
    before: async (house) => (await source(house)).stop({ force: true }),
    ask: async (house, options) => {
      const copies = await (await source(house)).fork({ count: 2, state: 'running', ...options });
      assert.deepEqual(
        copies.map(({ info }) => info.state),
        ['Running', 'Running'],
      );
      return ids(copies);
    },
    there: instances,
  },
  snapshot: {
    ask: async (house, options) => [(await (await source(house)).snapshots.create(options)).id],
    there: async ({ engine }) => ids(await engine.snapshots.list()),
  },
  'fork of a snapshot': {
    before: async (house) => (await source(house)).snapshots.create({ name: 'base' }),
    ask: async ({ engine }, options) => {
      const [snapshot] = await engine.snapshots.list();
      return ids(await engine.snapshots.fork(snapshot?.id ?? '', { count: 2, ...options }));
    },
    there: instances,
  },
  pool: {
    ask: async ({ engine }, options) => [
      (await engine.pools.create('p', { image: 'busybox', size: 1, ...options })).info.createdAt,
    ],
    there: async ({ engine }) => (await engine.pools.list()).map(({ createdAt }) => createdAt),
  },
  volume: {
    ask: async ({ engine }, options) => [
      (await engine.volumes.create({ name: 'data', size: '1GB', ...options })).id,
    ],
    there: async ({ engine }) => ids(await engine.volumes.list()),
  },
  'clone of a volume': {
    before: ({ engine }) => engine.volumes.create({ name: 'data', size: '1GB' }),
    ask: async ({ engine }, options) => [(await engine.volumes.clone('data', options)).id],
    there: async ({ engine }) => ids((await engine.volumes.list()).filter(({ name }) => name !== 'data')),
  },
  'snapshot of a volume': {
    before: ({ engine }) => engine.volumes.create({ name: 'data', size: '1GB' }),
    ask: async ({ engine }, options) => [(await engine.volumes.snapshot('data', options)).id],
    there: async ({ engine }) => ids((await engine.volumes.list()).filter(({ name }) => name !== 'data')),
  },
  'import of a volume': {
    ask: async ({ engine }, options) => [
      (await engine.volumes.import(archive('content'), { name: 'site', size: '64MB', ...options })).id,
    ],
    there: async ({ engine }) => ids(await engine.volumes.list()),
  },
  acquire: {
    before: ({ engine }) => engine.pools.create('p', { image: 'busybox', size: 1, stage: 'stopped' }),
    ask: async ({ engine }, options) => {
      const vm = await (await engine.pools.get('p')).acquire(options);
      assert.equal(vm.info.state, 'Running');
      return [vm.id];
    },
    there: async ({ engine }) =>
      ids((await engine.list()).items.filter(({ acquiredAt }) => acquiredAt !== undefined)),
  },
};

async function houseFor(kind: Kind): Promise<House> {
  const house = await House.open();
  await house.engine.run('busybox', { name: 'source' });
  await kind.before?.(house);
  return house;
}

/** Of no concern to anything that is made here. */
const elsewhere: ReadonlySet<FaultPointName> = new Set([
  'powerdown',
  'guest-off',
  'grow-disk',
  'kill',
  'open.bulk',
  'open.console',
  'adopt',
] as const);

const hanging = allFaultPoints.filter(
  (point) => !elsewhere.has(point) && (faultPoints[point].effects as readonly string[]).includes('hang'),
);

/** Asks, and kills the daemon where it has got to the point, or is done. Answers whether it was reached. */
async function killedAt(house: House, ask: Ask, point: FaultPointName | 'begun'): Promise<boolean> {
  const asked = ask(house, once).then(() => false);
  asked.catch(() => undefined);
  if (point === 'begun') return house.kill().then(() => true);
  const reached = house.host.faults.reached(point).then(() => true);
  house.host.faults.inject(point, { effect: 'hang' });
  const there = await Promise.race([reached, asked]);
  await house.kill();
  house.host.faults.clear();
  return there;
}

for (const [name, kind] of Object.entries(kinds)) {
  test(`a ${name} that a kill cuts off anywhere, and is asked for again, is made once`, async () => {
    let reached = 0;
    for (const point of ['begun', ...hanging] as const) {
      await using house = await houseFor(kind);
      if (await killedAt(house, kind.ask, point)) reached++;
      await house.open();
      const made = await kind.ask(house, once);
      assert.deepEqual(await kind.there(house), made, `cut off at ${point}`);
      assert.deepEqual(await kind.ask(house, once), made, 'and once more');
      assert.deepEqual(await kind.there(house), made);
    }
    if (!/^create|volume/.test(name)) assert.ok(reached > 1, 'no point was ever reached');
  });

  test(`a ${name} that is asked for again, at the same time or later, is made once`, async () => {
    await using house = await houseFor(kind);
    const [made, same] = await Promise.all([kind.ask(house, once), kind.ask(house, once)]);
    assert.deepEqual(made, same);
    assert.deepEqual(await kind.ask(house, once), made);
    assert.deepEqual(await kind.there(house), made);
  });
}

test('a key that asked for something else is a conflict, whatever became of that', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  const { engine } = house;
  await engine.create({ image: 'busybox', tags: { a: '1', b: '2' } }, once);
  assert.equal((await failure(engine.create({ image: 'busybox' }, once))).code, 'conflict');
  assert.equal((await failure(engine.run('busybox', { tags: { a: '1', b: '2' } }, once))).code, 'conflict');
  // The order of fields says nothing.
  await engine.create({ tags: { b: '2', a: '1' }, image: 'busybox' }, once);
  assert.equal((await instances(house)).length, 1);
  house.host.faults.inject('boot.init', { effect: 'panic' });
  await failure(engine.run('busybox', { name: 'two' }, { idempotencyKey: 'failed' }));
  const other = failure(engine.run('busybox', { name: 'three' }, { idempotencyKey: 'failed' }));
  assert.equal((await other).code, 'conflict');
});

test('an archive that is another one is a conflict, whatever became of the first', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  const ask = (content: string, more = {}) =>
    house.engine.volumes.import(archive(content), { name: 'site', size: '64MB', ...once, ...more });
  const [first, second] = [ask('one'), ask('two')];
  assert.equal((await failure(second)).code, 'conflict');
  const { id } = await first;
  assert.equal((await failure(ask('two'))).code, 'conflict');
  assert.equal((await failure(ask('one', { size: '65MB' }))).code, 'conflict');
  house.sql('UPDATE requests SET outcome = NULL');
  await house.reopen();
  assert.equal((await failure(ask('two'))).code, 'conflict');
  assert.equal((await ask('one')).id, id);
  assert.equal((await house.engine.volumes.list()).length, 1);
});

test('what came to nothing is made by the same key', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  house.host.faults.inject('boot.init', { effect: 'panic' });
  await failure(kinds.run?.ask(house, once) ?? assert.fail());
  assert.deepEqual(await instances(house), []);
  assert.deepEqual(await kinds.run?.ask(house, once), await instances(house));
});

test('whoever gives up ends a request only for himself, and the last one for all', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  const run = (signal?: AbortSignal) => house.engine.run('busybox', { name: 'one' }, { ...once, signal });
  house.host.faults.inject('boot.init', { effect: 'hang' });
  const reached = house.host.faults.reached('boot.init');
  const [one, two] = [new AbortController(), new AbortController()];
  const first = run(one.signal);
  const second = run(two.signal);
  await reached;
  one.abort();
  assert.equal((await failure(first)).code, 'cancelled');
  assert.equal((await instances(house)).length, 1);
  two.abort();
  // Comes while the other one is being undone.
  const third = run();
  assert.equal((await failure(second)).code, 'cancelled');
  assert.equal((await third).info.state, 'Running');
  assert.deepEqual(await instances(house), [(await third).id]);
});

test('a VM that was made and deleted is not made again by its key, also not after a kill', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  const ask = () => house.engine.run('busybox', { autoRemove: true }, once);
  await (await ask()).delete({ force: true });
  assert.equal((await failure(ask())).code, 'not_found');
  house.sql('UPDATE requests SET outcome = NULL');
  await house.reopen();
  assert.equal((await failure(ask())).code, 'not_found');
  assert.deepEqual(await instances(house), []);
});

test('a key is known for a day, and no longer', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  const ask = () => house.engine.create({ image: 'busybox' }, once);
  const { id } = await ask();
  await house.reopen();
  assert.equal((await ask()).id, id);
  house.sql(`UPDATE requests SET at = at - ${24 * 60 * 60_000 + 1}`);
  await house.reopen();
  assert.notEqual((await ask()).id, id);
});

test('a key that is none is refused before anything is made', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  for (const idempotencyKey of ['', ' a', 'a\n', 'é', 'x'.repeat(256)]) {
    assert.equal(
      (await failure(house.engine.create({ image: 'busybox' }, { idempotencyKey }))).code,
      'invalid_request',
    );
  }
  assert.deepEqual(await instances(house), []);
});

test('where the database takes no key nothing is made', async () => {
  await using house = await houseFor({ ask: async () => [], there: instances });
  house.sql(
    "CREATE TRIGGER refuse_requests BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'refused'); END",
  );
  await failure(house.engine.create({ image: 'busybox' }, once));
  assert.deepEqual(await instances(house), []);
});
