import type { StandbyUse } from '@vivarium/model';

export type UseKind = StandbyUse['kind'];

/** Who uses an instance through this engine at this moment. Kept whether or not anybody asks: it costs nothing. */
export class Uses {
  readonly #counts = new Map<UseKind, number>();
  /** Told of the first and the last one of each kind. */
  onChange: (() => void) | undefined;

  /** Counts until disposed of, once. */
  begin(kind: UseKind): Disposable {
    let counted = true;
    this.#count(kind, 1);
    return {
      [Symbol.dispose]: () => {
        if (counted) this.#count(kind, -1);
        counted = false;
      },
    };
  }

  get none(): boolean {
    return this.#counts.size === 0;
  }

  get list(): StandbyUse[] {
    return [...this.#counts].map(([kind, count]) => ({ kind, count }));
  }

  #count(kind: UseKind, by: 1 | -1): void {
    const count = (this.#counts.get(kind) ?? 0) + by;
    if (count === 0) this.#counts.delete(kind);
    else this.#counts.set(kind, count);
    this.onChange?.();
  }
}
