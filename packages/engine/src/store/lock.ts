import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { VivError } from '@vivarium/model';
import type { ProcessIdentity } from '../drivers/driver.ts';

/** Who owns a data directory. Written after the lock is held, so it may name a predecessor for an instant. */
export interface Owner extends ProcessIdentity {
  /** `vivd`, or what the embedding program is called. */
  program: string;
  /** RFC 3339. */
  since: string;
}

/**
 * Holds a data directory for this process. The lock is the kernel's (a POSIX lock, through SQLite, because Node
 * has no flock): it is gone when its process is, so it can't be stale.
 */
export class DataDirLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws VivError `data_dir_locked`, naming the owner. */
  static acquire(home: string, owner: Owner): DataDirLock {
    const ownerFile = path.join(home, 'owner.json');
    const database = new DatabaseSync(path.join(home, 'lock.db'), { timeout: 0 });
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
    } catch (cause) {
      database.close();
      if ((cause as { errcode?: number }).errcode !== 5) throw VivError.from(cause);
      throw new VivError('data_dir_locked', `${home} belongs to ${describeOwner(ownerFile)}`, {
        hint: 'Use that process, stop it, or choose another directory with VIV_HOME.',
        cause,
      });
    }
    writeFileSync(ownerFile, `${JSON.stringify(owner)}\n`, { mode: 0o600 });
    return new DataDirLock(database);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function describeOwner(ownerFile: string): string {
  try {
    const owner = JSON.parse(readFileSync(ownerFile, 'utf8')) as Owner;
    return `${owner.program}, pid ${owner.pid}, since ${owner.since}`;
  } catch {
    // The owner holds the lock and is about to write the file: it exists, and has no name yet.
    return 'another process that has just started';
  }
}
