import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ImaginedClock } from '../test/imagined-clock.ts';
import { type State, WaitError, waitForState } from './index.ts';

/** A VM whose states are told by time, and a probe that keeps what it saw. */
function world(states: Record<number, State>) {
  const clock = new ImaginedClock();
  let state: State = states[0] ?? 'Stopped';
  for (const [at, next] of Object.entries(states)) {
    if (at === '0') continue;
    clock.at(Number(at), () => {
      state = next;
    });
  }
  const seen: State[] = [];
  const probe = async () => {
    seen.push(state);
    return state;
  };
  return { clock, probe, seen };
}

/** The reason and state of the WaitError that a wait ends with. */
async function failure(wait: Promise<unknown>): Promise<WaitError> {
  const error = await wait.then(
    (state) => assert.fail(`reached ${state}`),
    (reason: unknown) => reason,
  );
  assert(error instanceof WaitError, String(error));
  return error;
}

describe('waitForState', () => {
  test('answers the state it finds, without a sleep when it is there already', async () => {
    const { clock, probe, seen } = world({ 0: 'Running' });
    assert.equal(await waitForState(probe, 'Running', { clock }), 'Running');
    assert.deepEqual(seen, ['Running']);
    assert.deepEqual(clock.slept, []);
  });

  test('checks once before it looks at the deadline, and before it looks at the signal', async () => {
    const { clock, probe } = world({ 0: 'Stopped' });
    assert.equal(await waitForState(probe, 'Stopped', { clock, timeoutMs: 0 }), 'Stopped');
    assert.equal(await waitForState(probe, 'Stopped', { clock, timeoutMs: -5 }), 'Stopped');
    assert.equal(await waitForState(() => 'Stopped', 'Stopped', { signal: AbortSignal.abort() }), 'Stopped');
  });

  test('lets the first check take a little time, whatever the deadline or the signal', async () => {
    const clock = new ImaginedClock();
    const slow = async (): Promise<State> => {
      await clock.sleep(5, new AbortController().signal);
      return 'Running';
    };
    assert.equal(await waitForState(slow, 'Running', { clock, timeoutMs: 0, interval: 10 }), 'Running');
    const soon = async (): Promise<State> => {
      for (let turn = 0; turn < 5; turn++) await null;
      return 'Running';
    };
    assert.equal(await waitForState(soon, 'Running', { signal: AbortSignal.abort() }), 'Running');
  });

  test('gives up at the deadline, and says what it saw last', async () => {
    const { clock, probe, seen } = world({ 0: 'Starting' });
    const error = await failure(waitForState(probe, 'Running', { clock, timeoutMs: 100, interval: 30 }));
    assert.equal(error.reason, 'timeout');
    assert.equal(error.message, 'waited 100 ms for Running: the state is Starting');
    assert.equal(clock.time, 100);
    assert.equal(seen.length, 5);
  });

  test('waits through any state when no intermediates are given', async () => {
    const { clock, probe } = world({ 0: 'Stopped', 10: 'Error', 20: 'Starting', 30: 'Running' });
    assert.equal(await waitForState(probe, ['Paused', 'Running'], { clock, interval: 5 }), 'Running');
  });

  test('fails at once in a state that is not among the intermediates, and names it', async () => {
    const { clock, probe } = world({ 0: 'Starting', 10: 'Error' });
    const error = await failure(
      waitForState(probe, 'Running', { clock, interval: 5, intermediates: ['Starting', 'Initializing'] }),
    );
    assert.equal(error.reason, 'unexpected_state');
    assert.equal(error.state, 'Error');
    assert.match(error.message, /unexpected state Error while waiting for Running .*Starting, Initializing/);
    assert.equal(clock.time, 10);
  });

  test('sleeps the same interval, or a growing one up to its limit', async () => {
    const steady = world({ 0: 'Starting', 25: 'Running' });
    await waitForState(steady.probe, 'Running', { clock: steady.clock, interval: 10 });
    assert.deepEqual(steady.clock.slept, [10, 10, 10]);
    const growing = world({ 0: 'Starting', 100: 'Running' });
    const interval = { initialMs: 5, factor: 3, maxMs: 40 };
    await waitForState(growing.probe, 'Running', { clock: growing.clock, interval });
    assert.deepEqual(growing.clock.slept, [5, 15, 40, 40]);
  });

  test('refuses an interval that is not above 0, and a backoff that shrinks', async () => {
    for (const interval of [0, -1, Number.NaN, { initialMs: 0, maxMs: 5 }, { initialMs: 5, maxMs: 0 }]) {
      await assert.rejects(
        waitForState(() => 'Running', 'Running', { interval }),
        RangeError,
      );
    }
    const shrinking = { initialMs: 5, factor: 0.5, maxMs: 10 };
    await assert.rejects(
      waitForState(() => 'Running', 'Running', { interval: shrinking }),
      RangeError,
    );
  });

  test('looks again when it is told of a change, without waiting for the interval', async () => {
    let state: State = 'Starting';
    let listeners = 0;
    let tell = () => {};
    const changes = (changed: () => void) => {
      listeners += 1;
      tell = changed;
      return () => {
        listeners -= 1;
      };
    };
    const wait = waitForState(() => state, 'Running', { changes, interval: 3_600_000, timeoutMs: 7_200_000 });
    await new Promise(setImmediate);
    state = 'Running';
    tell();
    assert.equal(await wait, 'Running');
    assert.equal(listeners, 0);
  });

  test('does not miss a change that comes while it looks', async () => {
    let state: State = 'Starting';
    let tell = () => {};
    const probe = async (): Promise<State> => {
      const found = state;
      state = 'Running';
      tell();
      return found;
    };
    const changes = (changed: () => void) => {
      tell = changed;
      return () => {};
    };
    const wait = waitForState(probe, 'Running', { changes, interval: 3_600_000, timeoutMs: 7_200_000 });
    assert.equal(await wait, 'Running');
  });

  test('ends when its signal fires, in a sleep and in a probe that hangs', async () => {
    const cancel = new AbortController();
    const asleep = failure(
      waitForState(() => 'Starting', 'Running', { signal: cancel.signal, interval: 3_600_000 }),
    );
    let asked: AbortSignal | undefined;
    const hanging = failure(
      waitForState(
        (signal) => {
          asked = signal;
          return new Promise<State>(() => {});
        },
        'Running',
        { signal: cancel.signal, timeoutMs: 3_600_000 },
      ),
    );
    await new Promise(setImmediate);
    cancel.abort(new Error('enough'));
    assert.equal((await asleep).reason, 'cancelled');
    assert.equal((await asleep).state, 'Starting');
    assert.equal(((await hanging).cause as Error).message, 'enough');
    assert.equal(asked?.aborted, true);
  });

  test('gives a probe that hangs up at the deadline, and tells it so', async () => {
    const clock = new ImaginedClock();
    let asked: AbortSignal | undefined;
    const probe = (signal: AbortSignal) => {
      asked = signal;
      return new Promise<State>(() => {});
    };
    const error = await failure(waitForState(probe, 'Running', { clock, timeoutMs: 500, interval: 10 }));
    assert.equal(error.message, 'waited 500 ms for Running: no state could be observed');
    assert.equal(asked?.aborted, true);
  });

  test('passes the error of a probe on', async () => {
    const broken = new Error('no such VM');
    await assert.rejects(
      waitForState(() => Promise.reject<State>(broken), 'Running'),
      (error) => error === broken,
    );
  });
});
