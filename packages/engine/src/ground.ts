import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { dataDir, VivError } from '@vivarium/model';
import { type Config, readConfig } from './config/index.ts';
import { readIdentity } from './host/identity.ts';
import type { EngineOptions } from './open.ts';
import { type Parts, qemuParts, simulatedParts } from './parts.ts';
import { type Database, openDatabase } from './store/database.ts';
import { EventLog } from './store/events.ts';
import { Journal } from './store/journal.ts';
import { DataDirLock } from './store/lock.ts';
import { keepReserve } from './store/reserve.ts';

/** What an engine stands on: a data directory that is its own, and the parts it is put together from. */
export interface Ground {
  readonly home: string;
  readonly embedded: boolean;
  /** What its owner is called to others. */
  readonly program: string;
  readonly config: Config;
  readonly parts: Parts;
  readonly database: Database;
  readonly events: EventLog;
  readonly journal: Journal;
}

/** @throws VivError `data_dir_locked`, `assets_missing`, and `internal` for a damaged database. */
export async function takeGround(options: EngineOptions, undo: AsyncDisposableStack): Promise<Ground> {
  const embedded = (options.mode ?? 'embedded') === 'embedded';
  const temporary = embedded && options.home === undefined;
  const home = temporary
    ? await mkdtemp(path.join(tmpdir(), 'vivarium-'))
    : path.resolve(options.home ?? dataDir());
  const given = typeof options.driver === 'object' ? options.driver.config : undefined;
  const config = given ?? (await readConfig(home));
  if (temporary) undo.defer(() => rm(home, { recursive: true, force: true }));
  await mkdir(path.join(home, 'instances'), { recursive: true, mode: 0o700 });

  const program = options.program ?? (embedded ? path.basename(process.argv[1] ?? 'node') : 'vivd');
  const identity = await readIdentity(process.pid);
  if (identity === undefined) throw new VivError('internal', 'This process is not in /proc');
  undo.use(DataDirLock.acquire(home, { ...identity, program, since: new Date().toISOString() }));
  const database = undo.use(openDatabase(home, { rebuild: options.rebuild }));
  const events = undo.use(new EventLog(database.events));
  const parts = await partsOf(options.driver ?? 'qemu', home, config);
  const attendance = parts.driver.attend?.(home);
  if (attendance !== undefined) undo.use(attendance);
  await parts.images.recover();
  const journal = new Journal(database.records, undefined, undo.use(keepReserve(home)));
  return { home, embedded, program, config, parts, database, events, journal };
}

async function partsOf(
  driver: NonNullable<EngineOptions['driver']>,
  home: string,
  config: Config,
): Promise<Parts> {
  if (driver === 'qemu') return qemuParts(home, config);
  return driver === 'simulated' ? simulatedParts() : driver;
}
