import { VivError } from '@vivarium/model';
import type { Volume } from './volume.ts';

/** The volumes of a data directory in memory, by id and by name. */
export class VolumeRegistry {
  readonly #byId = new Map<string, Volume>();
  readonly #byName = new Map<string, Volume>();

  /** Those that are there: not what is being made, nor what goes. Oldest first. */
  all(): Volume[] {
    const position = ({ record }: Volume) => `${record.createdAt} ${record.id}`;
    return [...this.#byId.values()]
      .filter(({ record }) => record.phase === 'made')
      .sort((a, b) => (position(a) < position(b) ? -1 : 1));
  }

  everything(): Iterable<Volume> {
    return this.#byId.values();
  }

  byId(id: string): Volume | undefined {
    return this.#byId.get(id);
  }

  has(nameOrId: string): boolean {
    return this.#byName.has(nameOrId) || this.#byId.has(nameOrId);
  }

  /** By exact id, then exact name, then id prefix. @throws VivError `not_found`, `ambiguous`. */
  find(idOrName: string): Volume {
    const exact = this.#byId.get(idOrName) ?? this.#byName.get(idOrName);
    if (exact?.record.phase === 'made') return exact;
    const fitting = idOrName.length < 2 ? [] : this.all().filter(({ id }) => id.startsWith(idOrName));
    const [first, second] = fitting;
    if (first === undefined)
      throw new VivError('not_found', `No volume is called ${JSON.stringify(idOrName)}`, {
        hint: 'List them with `viv volume ls`.',
      });
    if (second !== undefined)
      throw new VivError(
        'ambiguous',
        `${JSON.stringify(idOrName)} begins the id of ${fitting.length} volumes`,
      );
    return first;
  }

  /** @throws VivError `name_conflict`. */
  add(volume: Volume): void {
    for (const taken of [volume.name, volume.id]) {
      const holder = this.#byName.get(taken) ?? this.#byId.get(taken);
      if (holder === undefined) continue;
      throw new VivError('name_conflict', `${JSON.stringify(taken)} is taken by the volume ${holder.id}`, {
        hint: 'Choose another name, or remove that volume.',
      });
    }
    this.#byId.set(volume.id, volume);
    this.#byName.set(volume.name, volume);
  }

  remove(volume: Volume): void {
    this.#byId.delete(volume.id);
    if (this.#byName.get(volume.name) === volume) this.#byName.delete(volume.name);
  }
}
