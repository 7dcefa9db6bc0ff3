import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isVivError, type Progress, VivError } from '@vivarium/model';
import { type Database, openDatabase } from '../store/database.ts';
import { Journal } from '../store/journal.ts';
import type { InstanceRecord } from '../store/record.ts';
import { type Holdable, OperationDoor } from './door.ts';
import type { Operation } from './operation.ts';

class Held implements Holdable {
  readonly id = 'i1';
  record = { id: 'i1', name: 'one' } as InstanceRecord;
  operation: Operation | undefined;
  gone = false;
  latched: VivError | undefined;
  readonly outcomes: string[] = [];
  operationChanged(operation: Operation, outcome: string): void {
    this.outcomes.push(`${operation.action} ${outcome}`);
  }
  latch(error: VivError): void {
    this.latched = error;
  }
}

const deadlineMs = 10_000;

const untilCut = ({ signal }: Operation) =>
  new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('the operation door', () => {
  let home: string;
  let database: Database;
  let door: OperationDoor;
  let journal: Journal;
  let held: Held;

  beforeEach(() => {
    home = mkdtempSync(path.join(tmpdir(), 'viv-door-'));
    database = openDatabase(home);
    journal = new Journal(database.records);
    door = new OperationDoor(journal);
    held = new Held();
  });
  afterEach(() => {
    database[Symbol.dispose]();
    rmSync(home, { recursive: true });
  });

  it('is done when what runs beside it is, and takes nothing back before that', async () => {
    const order: string[] = [];
    const beside = async (failing: boolean) => {
      await new Promise(setImmediate);
      order.push('beside');
      if (failing) throw new VivError('disk_full', 'no room');
    };
    await door.run(held, { action: 'start', deadlineMs }, async (operation) => {
      operation.meanwhile(beside(false));
    });
    order.push('done');
    const failing = door.run(held, { action: 'start', deadlineMs }, async (operation) => {
      operation.undo('what was done', () => void order.push('undone'));
      operation.meanwhile(beside(true));
    });
    await assert.rejects(failing, { code: 'disk_full' });
    const thrown = door.run(held, { action: 'start', deadlineMs }, async (operation) => {
      operation.undo('what was done', () => void order.push('undone'));
      operation.meanwhile(beside(true));
      throw new VivError('internal', 'of its own');
    });
    await assert.rejects(thrown, { code: 'internal' });
    assert.deepEqual(order, ['beside', 'done', 'beside', 'undone', 'beside', 'undone']);
  });

  it('tells its caller of stages that come before anything is waited for', async () => {
    const stages: string[] = [];
    const onProgress = ({ stage }: Progress) => void stages.push(stage);
    await door.run(held, { action: 'create', deadlineMs, onProgress }, async (operation) => {
      operation.progress({ stage: 'creating', name: 'one', id: 'i1' });
    });
    assert.deepEqual(stages, ['creating']);
  });

  it('lets one in, journals it, and is open again afterwards', async () => {
    const answer = await door.run(held, { action: 'start', deadlineMs }, async (operation) => {
      assert.equal(held.operation, operation);
      assert.equal(journal.unfinished().length, 1);
      return 7;
    });
    assert.equal(answer, 7);
    assert.equal(held.operation, undefined);
    assert.deepEqual(held.outcomes, ['start begun', 'start done']);
    assert.equal(journal.unfinished().length, 0);
  });

  it('answers a conflicting caller busy, naming the operation that holds the instance', async () => {
    const go = Promise.withResolvers<void>();
    const first = door.run(held, { action: 'start', deadlineMs }, (operation) => {
      operation.step('boot the guest');
      return go.promise;
    });
    await assert.rejects(
      door.run(held, { action: 'rename', deadlineMs }, async () => undefined),
      (error) =>
        isVivError(error, 'busy') && /start/.test(error.message) && /boot the guest/.test(error.message),
    );
    go.resolve();
    await first;
  });

  it('lets an equal second caller share the outcome, and an unequal one not', async () => {
    const go = Promise.withResolvers<number>();
    let runs = 0;
    const request = (timeoutMs: number) => ({
      action: 'stop',
      parameters: { timeoutMs },
      joins: true,
      deadlineMs,
    });
    const body = () => {
      runs += 1;
      return go.promise;
    };
    const both = [door.run(held, request(1), body), door.run(held, request(1), body)];
    await assert.rejects(door.run(held, request(2), body), (error) => isVivError(error, 'busy'));
    go.resolve(3);
    assert.deepEqual(await Promise.all(both), [3, 3]);
    assert.equal(runs, 1);
  });

  it('interrupts what gives way, waits for its undo, and then judges the instance anew', async () => {
    const order: string[] = [];
    const started = door.run(held, { action: 'start', deadlineMs }, async (operation) => {
      operation.undo('kill', () => void order.push('undone'));
      await new Promise((_, reject) =>
        operation.signal.addEventListener('abort', () => reject(operation.signal.reason)),
      );
    });
    const stopped = door.run(
      held,
      {
        action: 'stop',
        interrupts: ['start'],
        deadlineMs,
        check: () => {
          order.push('checked');
          return undefined;
        },
      },
      async () => void order.push('stopped'),
    );
    await assert.rejects(started, (error) => isVivError(error, 'cancelled') && /stop/.test(error.message));
    await stopped;
    assert.deepEqual(order, ['undone', 'checked', 'stopped']);
  });

  it('takes the steps back newest first when one fails, and rejects with what failed', async () => {
    const order: string[] = [];
    await assert.rejects(
      door.run(held, { action: 'create', deadlineMs }, async (operation) => {
        operation.undo('a', () => void order.push('a'));
        operation.undo('b', async () => void order.push('b'));
        throw new VivError('disk_full', 'full');
      }),
      (error) => isVivError(error, 'disk_full'),
    );
    assert.deepEqual(order, ['b', 'a']);
    assert.deepEqual(held.outcomes, ['create begun', 'create undone']);
    assert.equal(held.latched, undefined);
  });

  it('latches the evidence when an undo fails, and still takes the other steps back', async () => {
    let other = false;
    await assert.rejects(
      door.run(held, { action: 'start', deadlineMs }, async (operation) => {
        operation.undo('other', () => {
          other = true;
        });
        operation.undo('kill the VMM', () => {
          throw new Error('it would not die');
        });
        throw new VivError('boot_failed', 'no');
      }),
    );
    assert.equal(other, true);
    assert.match(held.latched?.message ?? '', /kill the VMM/);
    assert.deepEqual(held.outcomes, ['start begun', 'start failed']);
  });

  it('goes on when one of two callers goes away, and is undone when the last one does', async () => {
    const go = Promise.withResolvers<void>();
    const [one, two] = [new AbortController(), new AbortController()];
    let undone = 0;
    const body = async (operation: Operation) => {
      operation.undo('u', () => {
        undone += 1;
      });
      await Promise.race([
        go.promise,
        new Promise((_, reject) =>
          operation.signal.addEventListener('abort', () => reject(operation.signal.reason)),
        ),
      ]);
    };
    const request = { action: 'start', joins: true, deadlineMs };
    const first = door.run(held, { ...request, signal: one.signal }, body);
    const second = door.run(held, { ...request, signal: two.signal }, body);
    one.abort();
    await assert.rejects(first, (error) => isVivError(error, 'cancelled'));
    assert.equal(undone, 0);
    two.abort();
    await assert.rejects(second, (error) => isVivError(error, 'cancelled'));
    assert.equal(undone, 1);
    assert.equal(held.operation, undefined);
  });

  it('lets everybody in before one that yields, which waits for nobody', async () => {
    const yielding = { action: 'flatten', yields: true, deadlineMs };
    const first = door.run(held, yielding, untilCut);
    await assert.rejects(door.run(held, yielding, untilCut), (error) => isVivError(error, 'busy'));
    await door.run(held, { action: 'rename', deadlineMs }, async () => undefined);
    await assert.rejects(first, (error) => isVivError(error, 'cancelled') && /rename/.test(error.message));
    const second = door.run(held, yielding, untilCut);
    door.admitOnly('stop');
    await assert.rejects(second, (error) => isVivError(error, 'cancelled'));
    await door.quiet();
  });

  it('ends with timeout when the deadline passes', async () => {
    await assert.rejects(
      door.run(held, { action: 'start', deadlineMs: 5 }, async (operation) => {
        // An unreferenced deadline must not be the only thing that keeps the process alive.
        const alive = setInterval(() => undefined, 1000);
        try {
          await new Promise((_, reject) =>
            operation.signal.addEventListener('abort', () => reject(operation.signal.reason)),
          );
        } finally {
          clearInterval(alive);
        }
      }),
      (error) => isVivError(error, 'timeout'),
    );
  });

  it('does nothing, and journals nothing, when the check answers', async () => {
    const answer = await door.run(
      held,
      { action: 'start', deadlineMs, check: () => ({ answer: 1 }) },
      async () => 2,
    );
    assert.equal(answer, 1);
    assert.deepEqual(held.outcomes, []);
  });
});
