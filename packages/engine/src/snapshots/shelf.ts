import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type ForkState, type SnapshotInfo, VivError } from '@vivarium/model';
import { type Origin, stateIn } from '../instances/origin.ts';
import { sync } from '../saved-states/manifest.ts';
import type { InstanceRecord } from '../store/record.ts';

/** `snapshot.json` beside the files of the saved state. Written last: a directory without it is nothing. */
export interface StoredSnapshot {
  format: 1;
  info: SnapshotInfo;
  /** Of the source, as it was. */
  record: InstanceRecord;
  was: ForkState;
  frozen: boolean;
  /** Id of the schedule that had it taken. */
  schedule?: string;
  /** The request with an idempotency key that it was taken for. */
  request?: string;
}

const fileName = 'snapshot.json';

/** The directory of snapshots: one below it for each, by its id. What is on the disk is all there is. */
export class SnapshotShelf {
  readonly dir: string;
  readonly #known = new Map<string, StoredSnapshot>();

  constructor(dir: string) {
    this.dir = dir;
  }

  /** Finds what is there; what was left half-made or half-removed goes. One that can't be read is left where it is, and told of. */
  async open(warn: (message: string) => void): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.dir)) {
      try {
        const found = await this.#read(name);
        if (found === undefined) await rm(path.join(this.dir, name), { recursive: true, force: true });
        else this.#known.set(found.info.id, found);
      } catch (error) {
        warn(`The snapshot ${name} can't be read: ${VivError.from(error).message}`);
      }
    }
  }

  path(id: string): string {
    return path.join(this.dir, id);
  }

  /** Oldest first. */
  all(): StoredSnapshot[] {
    return [...this.#known.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  /** By id or its beginning. @throws VivError `not_found`, `ambiguous`. */
  find(id: string): StoredSnapshot {
    const exact = this.#known.get(id);
    if (exact !== undefined) return exact;
    const found = id === '' ? [] : this.all().filter(({ info }) => info.id.startsWith(id));
    const [first, second] = found;
    if (first === undefined) throw new VivError('not_found', `No snapshot has the id ${id}`);
    if (second !== undefined)
      throw new VivError('ambiguous', `${found.length} snapshots have ids that begin with ${id}`);
    return first;
  }

  /** The files are in place; from here on it is a snapshot. */
  async add(stored: StoredSnapshot): Promise<void> {
    const dir = this.path(stored.info.id);
    const temporary = path.join(dir, `.${fileName}`);
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(`${JSON.stringify(stored, undefined, 2)}\n`);
    await file.sync();
    await rename(temporary, path.join(dir, fileName));
    await sync(dir);
    this.#known.set(stored.info.id, stored);
  }

  /** Files that others have names for live on. */
  async remove(id: string): Promise<void> {
    // No snapshot any more, whatever becomes of the rest.
    await rm(path.join(this.path(id), fileName), { force: true });
    this.#known.delete(id);
    await rm(this.path(id), { recursive: true, force: true });
  }

  async origin({ info, record, was, frozen }: StoredSnapshot): Promise<Origin> {
    const dir = this.path(info.id);
    return { dir, record, was, frozen, ...(info.hasMemory ? { state: await stateIn(dir) } : {}) };
  }

  async #read(name: string): Promise<StoredSnapshot | undefined> {
    let text: string;
    try {
      text = await readFile(path.join(this.dir, name, fileName), 'utf8');
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
      throw error;
    }
    const stored = JSON.parse(text) as StoredSnapshot;
    if (stored.format !== 1 || stored.info?.id !== name)
      throw new VivError('saved_state_damaged', 'its snapshot.json is not of this version');
    return stored;
  }
}

const order = ({ info }: StoredSnapshot): string => info.createdAt + info.id;
