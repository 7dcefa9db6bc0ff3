import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isVivError } from '@vivarium/model';
import { openDatabase } from './database.ts';
import { Journal } from './journal.ts';
import { DataDirLock } from './lock.ts';
import { type InstanceRecord, readRecord, writeRecord } from './record.ts';

const record = (id: string, name = id) => ({ format: 1, id, name, phase: 'made' }) as InstanceRecord;
const intent = (id: string, instanceId: string, action = 'start') => ({
  id,
  instanceId,
  action,
  startedAt: '2026',
});

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'viv-store-'));
});
afterEach(() => rmSync(home, { recursive: true }));

describe('the lock of a data directory', () => {
  const owner = {
    pid: process.pid,
    startTime: 1,
    bootId: 'b',
    program: 'vivd',
    since: '2026-01-01T00:00:00Z',
  };

  it('is held by one, names the owner to the next, and is free when it is let go', () => {
    const lock = DataDirLock.acquire(home, owner);
    assert.throws(
      () => DataDirLock.acquire(home, { ...owner, program: 'other' }),
      (error) => isVivError(error, 'data_dir_locked') && error.message.includes(`vivd, pid ${process.pid}`),
    );
    lock[Symbol.dispose]();
    DataDirLock.acquire(home, owner)[Symbol.dispose]();
  });

  it('is gone with its process, however that ended', () => {
    const script = `
      import { DataDirLock } from ${JSON.stringify(new URL('./lock.ts', import.meta.url).href)};
      DataDirLock.acquire(${JSON.stringify(home)}, { pid: process.pid, startTime: 1, bootId: 'b', program: 'x', since: 's' });
      process.kill(process.pid, 'SIGKILL');`;
    const { signal } = spawnSync(process.execPath, ['--input-type=module-typescript', '--eval', script]);
    assert.equal(signal, 'SIGKILL');
    DataDirLock.acquire(home, owner)[Symbol.dispose]();
  });
});

describe('the journal', () => {
  it('has what was noted for whoever opens it next, and syncs what follows', () => {
    const synchronous = (database: ReturnType<typeof openDatabase>) =>
      database.records.prepare('PRAGMA synchronous').get()?.synchronous;
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    journal.note(record('a'));
    assert.equal(synchronous(database), 2);
    const full = () => {
      throw new Error('no record');
    };
    assert.throws(() => journal.note({ ...record('b'), toJSON: full } as InstanceRecord), /no record/);
    assert.equal(synchronous(database), 2);
    using again = openDatabase(home);
    assert.deepEqual(new Journal(again.records).records(), [record('a')]);
  });

  it('keeps an intent until its end, and the record with it', async () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    await journal.begin(intent('o1', 'a'), { record: record('a') });
    await journal.begin(intent('o2', 'b', 'delete'), { record: record('b') });
    assert.deepEqual(
      journal.unfinished().map(({ id }) => id),
      ['o1', 'o2'],
    );
    const left = { record: { ...record('a'), generation: 4 } };
    await journal.end('o1', 'a', 'undone', left, { code: 'timeout', message: 'late' });
    await journal.end('o2', 'b', 'done', undefined);
    assert.deepEqual(journal.unfinished(), []);
    assert.deepEqual(journal.records(), [{ ...record('a'), generation: 4 }]);
    assert.deepEqual(journal.find('o1')?.error, { code: 'timeout', message: 'late' });
  });

  it('writes what begins and ends in one turn at once, each as it is by then, and refuses only what can not be written', async () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    let commits = 0;
    const { exec } = database.records;
    database.records.exec = (sql) => {
      if (sql === 'COMMIT') commits += 1;
      exec.call(database.records, sql);
    };
    const late = { record: record('a') };
    const begun = [
      journal.begin(intent('o1', 'a'), late),
      journal.begin(intent('o2', 'b'), { record: record('b') }),
    ];
    late.record = { ...late.record, generation: 7 };
    await Promise.all(begun);
    assert.equal(commits, 1);
    assert.deepEqual(journal.records(), [{ ...record('a'), generation: 7 }, record('b')]);

    const settled = await Promise.allSettled([
      journal.begin(intent('o3', 'c'), { record: record('c', 'taken') }),
      journal.begin(intent('o4', 'd'), { record: record('d', 'taken') }),
      journal.end('o2', 'b', 'done', undefined),
    ]);
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(
      journal.unfinished().map(({ id }) => id),
      ['o1', 'o3'],
    );
    assert.equal(database.records.isTransaction, false);
  });

  it('forgets the oldest of the operations that have ended, and none that has not', async () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    const operate = (id: string, instanceId: string) =>
      journal.begin(intent(id, instanceId), { record: record(instanceId) });
    await operate('open', 'a');
    for (const id of ['o1', 'o2', 'o3']) {
      await operate(id, 'b');
      await journal.end(id, 'b', 'done', { record: record('b') });
    }
    const again = new Journal(database.records, 1);
    assert.deepEqual(
      ['open', 'o1', 'o2', 'o3'].filter((id) => again.find(id) !== undefined),
      ['open', 'o3'],
    );
  });

  it('refuses a second instance of one name', () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    journal.save(record('a', 'web'));
    assert.throws(() => journal.save(record('b', 'web')));
  });
});

describe('the database', () => {
  it('is refused when it is damaged, kept, and begun anew only when asked', () => {
    writeFileSync(
      path.join(home, 'vivarium.db'),
      'this is no database, but it is long enough to look like one'.repeat(40),
    );
    assert.throws(
      () => openDatabase(home),
      (error) => isVivError(error) && /doctor --rebuild/.test(error.hint ?? ''),
    );
    using database = openDatabase(home, { rebuild: true });
    assert.deepEqual(new Journal(database.records).records(), []);
    assert.equal(readdirSync(home).filter((name) => name.includes('damaged')).length, 1);
  });
});

describe('the record beside the disks', () => {
  it('comes back as it was written, and a damaged one is no record', async () => {
    await writeRecord(home, record('a'));
    assert.deepEqual(await readRecord(home), record('a'));
    writeFileSync(path.join(home, 'record.json'), '{"format":1,');
    assert.equal(await readRecord(home), undefined);
    assert.equal(await readRecord(path.join(home, 'nowhere')), undefined);
    assert.deepEqual(
      readdirSync(home).filter((name) => name.startsWith('.')),
      [],
    );
  });
});
