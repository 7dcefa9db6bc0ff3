import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Database, openDatabase } from './database.ts';
import { EventLog } from './events.ts';

const one = { id: 'a', name: 'one' };
const two = { id: 'b', name: 'two' };

let home: string;
let database: Database;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'viv-events-'));
  database = openDatabase(home);
});
afterEach(() => {
  database[Symbol.dispose]();
  rmSync(home, { recursive: true });
});

const all = async (log: EventLog, options: Parameters<EventLog['read']>[0] = {}) =>
  Array.fromAsync(log.read({ since: 0, follow: false, ...options }));
const numbers = async (...args: Parameters<typeof all>) => (await all(...args)).map(({ seq }) => seq);

describe('events', () => {
  it('are numbered without gaps and read on from any number, over a restart', async () => {
    const before = new EventLog(database.events);
    for (let n = 1; n <= 3; n++) before.append(one, 'state', { n });
    database[Symbol.dispose]();
    database = openDatabase(home);
    const log = new EventLog(database.events);
    assert.equal(log.last, 3);
    log.append(two, 'state', { n: 4 });
    const abort = new AbortController();
    const seen: number[] = [];
    for await (const event of log.read({ since: 1, signal: abort.signal })) {
      seen.push(event.seq);
      if (event.seq === 4) log.append(one, 'state', { n: 5 });
      if (event.seq === 5) abort.abort();
    }
    assert.deepEqual(seen, [2, 3, 4, 5]);
  });

  it('are told in their order also after a clearing-out that failed', async () => {
    const log = new EventLog(database.events, 10);
    database.events.exec(
      "CREATE TRIGGER refuse BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'refused'); END",
    );
    for (let n = 1; n < 1000; n++) log.append(one, 'state', { n });
    assert.throws(() => log.append(one, 'state', { n: 1000 }), /refused/);
    log.append(one, 'state', { n: 1001 });
    assert.deepEqual(await numbers(log, { since: 998 }), [999, 1000, 1001]);
  });

  it('wake a reader that waits, and only for its instance', async () => {
    const log = new EventLog(database.events);
    const abort = new AbortController();
    const reader = log.read({ instanceId: 'b', signal: abort.signal });
    const next = reader.next();
    log.append(one, 'state', {});
    log.append(two, 'exit', { code: 1 });
    assert.equal((await next).value?.type, 'exit');
    abort.abort();
    assert.equal((await reader.next()).done, true);
  });

  it('are filtered alike from the store and from memory', async () => {
    const stored = new EventLog(database.events, 1000, 1);
    stored.append(one, 'state', {});
    stored.append({ kind: 'image', id: 'sha256:1', name: 'busybox' }, 'pulled', {});
    stored.append(two, 'state', {});
    stored.append({ kind: 'pool', id: 'a', name: 'web' }, 'state', {});
    stored.append(one, 'exit', {});
    for (const log of [stored, new EventLog(database.events)]) {
      assert.deepEqual(await numbers(log), [1, 2, 3, 4, 5]);
      assert.deepEqual(await numbers(log, { instanceId: 'a' }), [1, 5]);
      assert.deepEqual(await numbers(log, { types: ['pulled', 'exit'] }), [2, 5]);
      assert.deepEqual(await numbers(log, { kinds: ['image', 'pool'] }), [2, 4]);
      assert.deepEqual(await numbers(log, { kinds: ['instance'], types: ['state'] }), [1, 3]);
    }
    const [, image] = await all(stored);
    assert.deepEqual(image?.resource, { kind: 'image', id: 'sha256:1', name: 'busybox' });
    assert.deepEqual([image?.instanceId, image?.instanceName], ['', '']);
    assert.equal((await all(stored))[0]?.instanceName, 'one');
  });

  it('that are not held any more are told as a gap, after which the reader goes on', async () => {
    const log = new EventLog(database.events, 500, 10);
    for (let n = 1; n <= 2000; n++) log.append(one, 'state', { n });
    assert.equal(log.size, 500);
    for (const filter of [{}, { types: ['state'] }, { instanceId: 'a' }]) {
      const [gap, next, ...rest] = await all(log, { since: 7, ...filter });
      assert.deepEqual(
        [gap?.type, gap?.seq, gap?.data],
        ['gap', 1500, { reason: 'trimmed', from: 8, to: 1500 }],
      );
      assert.deepEqual([next?.seq, rest.at(-1)?.seq, rest.length], [1501, 2000, 499]);
    }
    assert.deepEqual((await numbers(log, { since: 1500 }))[0], 1501);
  });

  it('that are cleared out under a slow reader are told to it as a gap, too', async () => {
    const log = new EventLog(database.events, 500, 10);
    for (let n = 1; n <= 600; n++) log.append(one, 'state', { n });
    const reader = log.read({ since: 0, follow: false });
    assert.equal((await reader.next()).value?.seq, 1);
    for (let n = 601; n <= 2000; n++) log.append(one, 'state', { n });
    const rest = await Array.fromAsync(reader);
    const at = rest.findIndex(({ type }) => type === 'gap');
    // What it had in hand it still gets, then what is missing, then all the others.
    assert.deepEqual(
      rest.slice(0, at).map(({ seq }) => seq),
      Array.from({ length: at }, (_, n) => n + 2),
    );
    assert.deepEqual(rest[at]?.data, { reason: 'trimmed', from: at + 2, to: 1500 });
    assert.deepEqual(
      rest.slice(at + 1).map(({ seq }) => seq),
      Array.from({ length: 500 }, (_, n) => n + 1501),
    );
  });

  it('asked for from beyond the end begin with the next one, and it is said that the number is of another log', async () => {
    const log = new EventLog(database.events);
    log.append(one, 'state', { n: 1 });
    const reader = log.read({ since: 1_000_000 });
    const gap = (await reader.next()).value;
    assert.deepEqual([gap?.seq, gap?.data], [1, { reason: 'ahead', asked: 1_000_000, last: 1 }]);
    const next = reader.next();
    // Where the reader spins, this turn never comes.
    await new Promise((resolve) => setImmediate(resolve));
    log.append(one, 'state', { n: 2 });
    assert.equal((await next).value?.seq, 2);
    await reader.return(undefined);
  });

  it('go to all who keep up as the same object', async () => {
    const log = new EventLog(database.events);
    const readers = [log.read(), log.read()];
    const next = readers.map((reader) => reader.next());
    log.append(one, 'state', {});
    const [a, b] = await Promise.all(next);
    assert.equal(a?.value, b?.value);
    for (const reader of readers) await reader.return(undefined);
  });

  it('of an instance that is gone are found by its id and its last name', () => {
    const log = new EventLog(database.events);
    log.append(one, 'deleted', {});
    assert.deepEqual([log.idOf('one'), log.idOf('a'), log.idOf('x')], ['a', 'a', undefined]);
  });

  it('of a log from before there were other resources are about instances', async () => {
    database[Symbol.dispose]();
    const old = new DatabaseSync(path.join(home, 'vivarium.db'));
    old.exec('ALTER TABLE events DROP COLUMN kind');
    old.exec(
      `INSERT INTO events (at, instance_id, instance_name, type, data) VALUES ('t', 'a', 'one', 'state', '{}')`,
    );
    old.close();
    database = openDatabase(home);
    const [event] = await all(new EventLog(database.events), { instanceId: 'a' });
    assert.deepEqual(event?.resource, { kind: 'instance', ...one });
  });
});
