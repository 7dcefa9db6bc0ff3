import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { VivError } from './errors.ts';
import { Exec, type ExecConnection, type ExecExit } from './exec.ts';

/** A session of a guest that takes every request and answers none; only letting go of it ends it here. */
function silent(): ExecConnection & { asked: string[] } {
  const exit = Promise.withResolvers<ExecExit>();
  const ended = Promise.withResolvers<void>();
  exit.promise.catch(() => undefined);
  const asked: string[] = [];
  return {
    asked,
    execId: 'silent',
    // biome-ignore lint/correctness/useYield: it prints nothing.
    output: (async function* () {
      await ended.promise;
    })(),
    exit: exit.promise,
    write: async () => undefined,
    end: async () => undefined,
    resize: async () => undefined,
    signal: (name) => {
      asked.push(name);
      return new Promise(() => undefined);
    },
    close: async () => {
      asked.push('close');
      exit.reject(new VivError('cancelled', 'closed'));
      ended.resolve();
    },
  };
}

/** Lets everything run that does not wait for a timer. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('a command with a time-out, in a guest that hangs,', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  test('ends though it was never started, and is let go of when it is after all', async () => {
    const opening = Promise.withResolvers<ExecConnection>();
    const refused = assert.rejects(new Exec(['true'], { timeoutMs: 1000 }, () => opening.promise).orThrow(), {
      code: 'timeout',
      message: /does not answer/,
    });
    await settle();
    mock.timers.tick(6000);
    await refused;
    const late = silent();
    opening.resolve(late);
    await settle();
    assert.deepEqual(late.asked, ['close']);
  });

  test('ends though it does not die of the signal it is sent', async () => {
    const connection = silent();
    const refused = assert.rejects(
      new Exec(['true'], { timeoutMs: 1000 }, async () => connection).orThrow(),
      { code: 'timeout', message: /does not answer/ },
    );
    await settle();
    mock.timers.tick(1000);
    await settle();
    assert.deepEqual(connection.asked, ['SIGKILL']);
    mock.timers.tick(5000);
    await refused;
    assert.equal(connection.asked.at(-1), 'close');
  });
});

test('an aborted command fails with an error of ours: with the reason where that is one, or a time-out', async () => {
  const reasons = [
    [new Error('enough'), 'cancelled'],
    [new DOMException('late', 'TimeoutError'), 'timeout'],
    [new VivError('conflict', 'mine'), 'conflict'],
  ] as const;
  for (const [reason, code] of reasons) {
    await assert.rejects(
      new Exec(['true'], { signal: AbortSignal.abort(reason) }, async () => silent()).orThrow(),
      (error) => error instanceof VivError && error.code === code,
    );
    const controller = new AbortController();
    const running = new Exec(['true'], { signal: controller.signal }, async () => silent());
    await running.id;
    controller.abort(reason);
    await assert.rejects(running.orThrow(), (error) => error instanceof VivError && error.code === code);
  }
});
