import { chmodSync, existsSync, renameSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { VivError } from '@vivarium/model';

const schema = `
  CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY,
    instance_id TEXT NOT NULL,
    action TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    outcome TEXT CHECK (outcome IN ('done', 'undone', 'failed')),
    error TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS operations_open ON operations (instance_id) WHERE ended_at IS NULL;
  CREATE INDEX IF NOT EXISTS operations_by_instance ON operations (instance_id, started_at);
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS events_by_instance ON events (instance_id, seq);
  CREATE TABLE IF NOT EXISTS pools (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('done', 'failed')),
    made TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS requests_by_age ON requests (at);
  CREATE TABLE IF NOT EXISTS volumes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
  ) STRICT;
`;

const version = 1;

/** The two connections to one database file. Records are durable at once, events at the next checkpoint. */
export interface Database extends Disposable {
  /** `synchronous=FULL`: what is committed survives a power failure. */
  readonly records: DatabaseSync;
  /** `synchronous=NORMAL`: survives the death of this process; a power failure may take the newest events. */
  readonly events: DatabaseSync;
}

/**
 * Opens `vivarium.db`. A damaged file is refused, never repaired in silence; `rebuild` puts it aside under a
 * name of its own and begins a new one, to be filled from the records beside the disks.
 */
export function openDatabase(home: string, { rebuild = false } = {}): Database {
  const file = path.join(home, 'vivarium.db');
  const fresh = !existsSync(file);
  try {
    return connect(file, fresh);
  } catch (cause) {
    const code = (cause as { errcode?: number }).errcode;
    // 11 SQLITE_CORRUPT, 26 SQLITE_NOTADB
    if (code !== 11 && code !== 26) throw VivError.from(cause);
    if (!rebuild) {
      throw new VivError('internal', `The database ${file} is damaged: ${(cause as Error).message}`, {
        hint: 'Run `viv doctor --rebuild`: it keeps the damaged file and restores every instance from the record beside its disks.',
        cause,
      });
    }
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(file + suffix)) renameSync(file + suffix, `${file}.damaged-${Date.now()}${suffix}`);
    }
    return connect(file, true);
  }
}

/** How long another program (`sqlite3` on a terminal) may hold the database before that is an error. Milliseconds. */
const timeout = 2000;

/** What SQLite throws, as an error that says what to do. */
export function storeError(thrown: unknown): VivError {
  const { errcode, message } = thrown as { errcode?: number; message?: string };
  // 13 SQLITE_FULL
  if (errcode !== 13) return VivError.from(thrown);
  return new VivError('disk_full', `The database could not be written: ${message}`, {
    hint: 'Make room on the file system that holds the data directory.',
    cause: thrown,
  });
}

function connect(file: string, fresh: boolean): Database {
  const records = new DatabaseSync(file, { timeout });
  try {
    records.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
    if (fresh) chmodSync(file, 0o600);
    const found = records.prepare('PRAGMA user_version').get() as { user_version: number };
    if (found.user_version > version) {
      throw new VivError(
        'internal',
        `${file} was written by a newer Vivarium (schema ${found.user_version})`,
        {
          hint: 'Use that version.',
        },
      );
    }
    const check = records.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
    if (check.quick_check !== 'ok') throw Object.assign(new Error(check.quick_check), { errcode: 11 });
    records.exec(schema);
    records.exec(`PRAGMA user_version = ${version}`);
    const events = new DatabaseSync(file, { timeout });
    events.exec('PRAGMA synchronous = NORMAL;');
    return {
      records,
      events,
      [Symbol.dispose]() {
        events.close();
        records.close();
      },
    };
  } catch (error) {
    records.close();
    throw error;
  }
}
