import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isVivError, type OperationReport } from '@vivarium/model';
import { House } from '../instances/fixtures/house.ts';

const hang = { effect: 'hang' } as const;

describe('an action that was left to itself', () => {
  it('is not ended by the signal it was asked for with', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    const reached = house.host.faults.reached('boot.init');
    house.host.faults.inject('boot.init', hang);
    const caller = new AbortController();
    const { id } = await vm.start({ signal: caller.signal }).detach();
    await reached;
    caller.abort();
    house.host.faults.clear();
    assert.equal((await house.engine.operations.wait(id)).state, 'done');
    assert.equal(vm.info.state, 'Running');
  });

  it('waits where another one has to end first, and is cancelled without having begun', async () => {
    await using house = await House.open();
    const { operations } = house.engine;
    const vm = await house.engine.create({ image: 'busybox' });
    house.host.faults.inject('boot.init', hang);
    house.host.faults.inject('kill', hang);
    const killing = house.host.faults.reached('kill');
    const booting = house.host.faults.reached('boot.init');
    const starting = vm.start().then(undefined, () => undefined);
    await booting;
    const { id, state } = await vm.stop({ force: true }).detach();
    assert.equal(state, 'pending');
    await killing;
    const other = operations.list({ states: ['pending'] });
    assert.deepEqual(
      (await other).items.map((one) => one.id),
      [id],
    );
    const cancelled = operations.cancel(id);
    house.host.faults.clear();
    assert.equal((await cancelled).state, 'cancelled');
    await starting;
    assert.equal((await operations.list({ instance: vm.id })).items[0]?.state, 'cancelled');
  });

  it('is cancelled also where others wait for it, and its steps are taken back', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    house.host.faults.inject('boot.init', hang);
    const reached = house.host.faults.reached('boot.init');
    const { id } = await vm.start().detach();
    const joined = assert.rejects(Promise.resolve(vm.start()), (error) => isVivError(error, 'cancelled'));
    await reached;
    const report = await house.engine.operations.cancel(id);
    assert.deepEqual([report.state, report.error?.code], ['cancelled', 'cancelled']);
    assert.equal(vm.info.state, 'Stopped');
    await joined;
  });

  it('has one end, whenever it is cancelled', async () => {
    await using house = await House.open();
    const { operations } = house.engine;
    const vm = await house.engine.create({ image: 'busybox' });
    const seen = new Set<string>();
    for (let turns = 0; !seen.has('done'); turns += 1 + (turns >> 2)) {
      const { id } = await vm.start().detach();
      for (let n = 0; n < turns; n++) await new Promise((resolve) => setImmediate(resolve));
      const cancelled = await operations.cancel(id);
      const report = await operations.get(id);
      assert.deepEqual(cancelled, report);
      assert.equal(vm.info.state, report.state === 'done' ? 'Running' : 'Stopped', report.state);
      assert.deepEqual(await operations.cancel(id), report);
      seen.add(report.state);
      await vm.stop({ force: true });
    }
    assert.deepEqual([...seen].sort(), ['cancelled', 'done']);
  });

  it('is seen with its step and its newest stage while it goes on', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    house.host.faults.inject('boot.init', hang);
    const reached = house.host.faults.reached('boot.init');
    const { id } = await vm.start().detach();
    await reached;
    const report = await house.engine.operations.get(id);
    assert.equal(report.state, 'running');
    assert.ok(report.step);
    assert.equal(report.progress?.stage, 'launching');
    assert.equal(vm.info.operation?.id, id);
    house.host.faults.clear();
    await house.engine.operations.wait(id);
    await assert.rejects(
      house.engine.operations.wait((await vm.stop().detach()).id, { timeoutMs: 0 }),
      (error) => isVivError(error, 'timeout'),
    );
  });

  it('of a full disk is not accepted', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    house.sql(`CREATE TRIGGER full BEFORE INSERT ON tasks BEGIN SELECT raise(ABORT, 'full'); END`);
    await assert.rejects(vm.start().detach());
    house.sql('DROP TRIGGER full');
    await house.engine.operations.list();
    assert.equal((await house.engine.get(vm.id)).info.state === 'Running', false);
  });
});

describe('after a kill in the middle of it', () => {
  async function cut(
    house: House,
    begin: () => Promise<OperationReport>,
    reached: Promise<void>,
  ): Promise<OperationReport> {
    const { id } = await begin();
    await reached;
    house.host.faults.clear();
    await house.reopen();
    return house.engine.operations.get(id);
  }

  it('a start is told as what has become of it', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    house.host.faults.inject('boot.init', hang);
    const reached = house.host.faults.reached('boot.init');
    const report = await cut(house, () => vm.start().detach(), reached);
    const { state } = (await house.engine.get(vm.id)).info;
    assert.equal(report.state, state === 'Running' ? 'done' : 'undone');
    assert.ok(report.endedAt);
  });

  it('a run whose VM was made and not started names what is left', async () => {
    await using house = await House.open();
    house.host.faults.inject('launch.before-spawn', hang);
    const reached = house.host.faults.reached('launch.before-spawn');
    const report = await cut(house, () => house.engine.run('busybox', { name: 'left' }).detach(), reached);
    const vm = await house.engine.get('left');
    assert.equal(vm.info.state, 'Stopped');
    assert.deepEqual([report.state, report.error?.code, report.resource?.id], ['failed', 'cancelled', vm.id]);
    const parts = (await house.engine.operations.list({ instance: vm.id })).items;
    assert.deepEqual(
      parts
        .map(({ action, state, parent }) => [action, state, parent])
        // Within one millisecond their order is nobody's.
        .sort(([a = ''], [b = '']) => (a < b ? -1 : 1)),
      [
        ['create', 'done', report.id],
        ['run', 'failed', undefined],
        ['start', 'undone', report.id],
      ],
    );
  });

  it('a stop that had not begun was cancelled', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    house.host.faults.inject('boot.init', hang);
    house.host.faults.inject('kill', hang);
    const killing = house.host.faults.reached('kill');
    const booting = house.host.faults.reached('boot.init');
    vm.start().then(undefined, () => undefined);
    await booting;
    const report = await cut(house, () => vm.stop({ force: true }).detach(), killing);
    assert.equal(report.state, 'cancelled');
  });

  it('what has ended before is listed as it ended', async () => {
    await using house = await House.open();
    const { id } = await house.engine.run('busybox').detach();
    const before = await house.engine.operations.wait(id);
    await house.reopen();
    assert.deepEqual(await house.engine.operations.get(id), before);
    assert.deepEqual(await house.engine.operations.cancel(id), before);
  });
});

describe('operations of an engine that is closed', () => {
  it('are ended before it, and told as that', async () => {
    const house = await House.open();
    house.host.faults.inject('boot.init', hang);
    const reached = house.host.faults.reached('boot.init');
    const vm = await house.engine.create({ image: 'busybox' });
    const { id } = await vm.start().detach();
    await reached;
    const closing = house.engine.close();
    await house.engine.operations.cancel(id);
    await closing;
    await house.open();
    assert.equal((await house.engine.operations.get(id)).state, 'cancelled');
    await house[Symbol.asyncDispose]();
  });
});
