import { VivError } from '@vivarium/model';
import type { Instances } from './context.ts';
import type { Instance } from './instance.ts';

/** All instances of a data directory in memory; look-ups by id and name take no time worth counting. */
export class InstanceRegistry implements Instances {
  readonly #byId = new Map<string, Instance>();
  readonly #byName = new Map<string, Instance>();
  /** By {@link positionOf}: clocks jump, and a millisecond has room for many instances. */
  readonly #ordered: Instance[] = [];

  /** Told of each instance that comes. */
  readonly arrived: ((instance: Instance) => void)[] = [];

  all(): Iterable<Instance> {
    return this.#byId.values();
  }

  /** In the order of creation, from behind a {@link positionOf}; the instance it names need not exist any more. */
  *after(position: string | undefined): Generator<Instance> {
    let index = position === undefined ? 0 : this.#indexOf(position);
    if (index < this.#ordered.length && positionOf(this.#ordered[index] as Instance) === position) index += 1;
    for (; index < this.#ordered.length; index += 1) yield this.#ordered[index] as Instance;
  }

  get size(): number {
    return this.#byId.size;
  }

  byId(id: string): Instance | undefined {
    return this.#byId.get(id);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  find(idOrName: string): Instance {
    const exact = this.#byId.get(idOrName) ?? this.#byName.get(idOrName);
    if (exact !== undefined) return exact;
    const fitting =
      idOrName.length < 2 ? [] : [...this.#byId.values()].filter(({ id }) => id.startsWith(idOrName));
    const [first, second] = fitting;
    if (first === undefined) {
      throw new VivError('not_found', `No instance is called ${JSON.stringify(idOrName)}`, {
        hint: 'List them with `viv ps -a`.',
      });
    }
    if (second !== undefined) {
      throw new VivError(
        'ambiguous',
        `${JSON.stringify(idOrName)} begins the id of ${fitting.length} instances`,
        {
          hint: `Give more of the id: ${fitting
            .slice(0, 3)
            .map(({ id }) => id)
            .join(', ')}`,
        },
      );
    }
    return first;
  }

  add(instance: Instance): void {
    this.#free(instance.record.name);
    this.#byId.set(instance.id, instance);
    this.#byName.set(instance.record.name, instance);
    this.#ordered.splice(this.#indexOf(positionOf(instance)), 0, instance);
    for (const tell of this.arrived) tell(instance);
  }

  remove(instance: Instance): void {
    if (this.#byId.delete(instance.id)) this.#ordered.splice(this.#indexOf(positionOf(instance)), 1);
    if (this.#byName.get(instance.record.name) === instance) this.#byName.delete(instance.record.name);
  }

  /** Keeps the name for it beside the one it has, until the answer is called. Does nothing where it is its own. */
  claim(instance: Instance, name: string): () => void {
    this.#free(name, instance);
    this.#byName.set(name, instance);
    return () => {
      if (instance.record.name !== name) this.#byName.delete(name);
    };
  }

  rename(instance: Instance, name: string): void {
    this.#free(name, instance);
    this.#byName.delete(instance.record.name);
    instance.change({ name });
    this.#byName.set(name, instance);
  }

  /** Where a position is, or would be, in the order. */
  #indexOf(position: string): number {
    let [low, high] = [0, this.#ordered.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (positionOf(this.#ordered[middle] as Instance) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #free(name: string, claimant?: Instance): void {
    // An id is looked for first: an instance called by another's could not be found by its name.
    const holder = this.#byName.get(name) ?? this.#byId.get(name);
    if (holder === undefined || holder === claimant) return;
    throw new VivError(
      'name_conflict',
      `The name ${JSON.stringify(name)} is taken by instance ${holder.id}`,
      {
        hint: 'Choose another name, or delete that instance.',
      },
    );
  }
}

/** Where an instance stands in the order of creation; compares as text. */
export function positionOf({ record }: Instance): string {
  return `${record.createdAt} ${record.id}`;
}
