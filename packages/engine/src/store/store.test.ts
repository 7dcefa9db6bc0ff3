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

  it('keeps an intent until its end, and the record with it', () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    journal.begin({ id: 'o1', instanceId: 'a', action: 'start', startedAt: '2026' }, record('a'));
    journal.begin({ id: 'o2', instanceId: 'b', action: 'delete', startedAt: '2026' }, record('b'));
    assert.deepEqual(
      journal.unfinished().map(({ id }) => id),
      ['o1', 'o2'],
    );
    journal.end('o1', 'a', 'undone', { ...record('a'), generation: 4 }, { code: 'timeout', message: 'late' });
    journal.end('o2', 'b', 'done', undefined);
    assert.deepEqual(journal.unfinished(), []);
    assert.deepEqual(journal.records(), [{ ...record('a'), generation: 4 }]);
    assert.deepEqual(journal.find('o1')?.error, { code: 'timeout', message: 'late' });
  });

  it('forgets the oldest of the operations that have ended, and none that has not', () => {
    using database = openDatabase(home);
    const journal = new Journal(database.records);
    const operate = (id: string, instanceId: string) =>
      journal.begin({ id, instanceId, action: 'start', startedAt: '2026' }, record(instanceId));
    operate('open', 'a');
    for (const id of ['o1', 'o2', 'o3']) {
      operate(id, 'b');
      journal.end(id, 'b', 'done', record('b'));
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
