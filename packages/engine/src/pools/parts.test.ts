import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VivError, type Vm } from '@vivarium/model';
import type { Instance } from '../instances/instance.ts';
import { Backoff } from './backoff.ts';
import { HandClock } from './fixtures/hand-clock.ts';
import { PoolLog } from './log.ts';
import { Members } from './members.ts';
import { stageOn, stages } from './stages.ts';

const error = new VivError('vmm_failed', 'no');

describe('a stage', () => {
  it('of suspended VMs boots and saves them, and goes on from there', async () => {
    const calls: string[] = [];
    const vm = {
      start: async () => calls.push('start'),
      suspend: async () => calls.push('suspend'),
    } as unknown as Vm;
    await stages.suspended.bring(vm, {});
    assert.deepEqual(calls.splice(0), ['start', 'suspend']);
    await stages.suspended.wake(vm, {});
    assert.deepEqual(calls, ['start']);
    assert.equal(stageOn({ save: true }, 'suspended'), 'suspended');
    assert.equal(stageOn({ save: false }, 'suspended'), 'stopped');
  });
});

describe('a pause', () => {
  it('is between half and all of what its turn says', () => {
    const clock = new HandClock();
    clock.random = () => 0;
    const backoff = new Backoff(clock, () => undefined);
    assert.equal(backoff.failed(error)?.milliseconds, 500);
    clock.advance(500);
    assert.equal(backoff.failed(error)?.milliseconds, 1000);
  });

  it('is one for attempts that were made together, however late one of them fails', () => {
    const clock = new HandClock();
    const backoff = new Backoff(clock, () => undefined);
    const { round } = backoff;
    assert.equal(backoff.failed(error, { round })?.attempts, 1);
    clock.advance(1000);
    assert.equal(backoff.failed(error, { round }), undefined);
    assert.equal(backoff.waiting, false);
    assert.equal(backoff.failed(error)?.attempts, 2);
  });

  it('is forgotten by a success', () => {
    const backoff = new Backoff(new HandClock(), () => assert.fail('it was due'));
    backoff.failed(error);
    assert.equal(backoff.succeeded(), true);
    assert.deepEqual([backoff.failing, backoff.waiting, backoff.succeeded()], [false, false, false]);
  });
});

describe('a ready VM in the middle of an operation', () => {
  it('is neither ready nor lost until that has ended', async () => {
    const lost: string[] = [];
    const members = new Members(stages.running, new HandClock(), 1000, {
      readyAgain: () => undefined,
      returned: () => undefined,
      lost: ({ instance }) => lost.push(instance.state),
    });
    const ended = Promise.withResolvers<void>();
    const instance = {
      state: 'Paused',
      operation: { ended: ended.promise },
      onChange: () => () => undefined,
    };
    const member = members.add(instance as unknown as Instance, 'ready');
    members.look(member);
    assert.deepEqual([lost, members.ready()], [[], []]);
    Object.assign(instance, { operation: undefined });
    ended.resolve();
    await ended.promise;
    assert.deepEqual(lost, ['Paused']);
  });
});

describe('the log of a pool', () => {
  it('holds the newest thousand, and a reader from before goes on with the oldest of them', async () => {
    const log = new PoolLog('p', () => 0);
    for (let n = 1; n <= 1500; n += 1) log.add('creating');
    log.end();
    const seen: number[] = [];
    for await (const { seq } of log.read({ since: 3 })) seen.push(seq);
    assert.deepEqual([seen.length, seen[0], seen.at(-1)], [1000, 501, 1500]);
  });

  it('numbers from above what an earlier process gave, whose readers see all of it', async () => {
    const clock = new HandClock();
    const before = new PoolLog('p', () => clock.now());
    before.add('created');
    before.end();
    const [last] = await Array.fromAsync(before.read({ since: 0 }));
    clock.advance(60_000);
    const after = new PoolLog('p', () => clock.now());
    after.add('created');
    after.end();
    assert.equal((await Array.fromAsync(after.read({ since: last?.seq ?? 0 }))).length, 1);
  });
});
