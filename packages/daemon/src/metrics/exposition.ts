import type { Family } from './families.ts';

type Labels = readonly string[];

/** Prometheus' text format 0.0.4, written out family by family. */
export class Exposition {
  readonly #lines: string[] = [];

  /** One value, for each set of labels in the order of the family's. */
  add(family: Family, values: Iterable<readonly [labels: Labels, value: number]>): void {
    this.#head(family);
    for (const [labels, value] of values)
      this.#lines.push(`${family.name}${labelled(family.labels ?? [], labels)} ${format(value)}`);
  }

  one(family: Family, value: number | undefined): void {
    if (value !== undefined) this.add(family, [[[], value]]);
  }

  histogram(family: Family, series: Iterable<readonly [labels: Labels, series: Series]>): void {
    this.#head(family);
    const { name, labels: names = [], buckets = [] } = family;
    for (const [labels, { counts, sum, count }] of series) {
      let below = 0;
      for (const [index, bound] of buckets.entries()) {
        below += counts[index] ?? 0;
        const le = labelled([...names, 'le'], [...labels, format(bound)]);
        this.#lines.push(`${name}_bucket${le} ${below}`);
      }
      this.#lines.push(`${name}_bucket${labelled([...names, 'le'], [...labels, '+Inf'])} ${count}`);
      this.#lines.push(`${name}_sum${labelled(names, labels)} ${format(sum)}`);
      this.#lines.push(`${name}_count${labelled(names, labels)} ${count}`);
    }
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #head({ name, help, type }: Family): void {
    this.#lines.push(`# HELP ${name} ${help.replaceAll('\\', '\\\\')}`, `# TYPE ${name} ${type}`);
  }
}

interface Series {
  counts: number[];
  sum: number;
  count: number;
}

/** Beyond as many sets of labels the others go without: nobody may make it grow for ever. */
const mostSeries = 2000;

/** Counts observations, by label. */
export class Histogram {
  readonly family: Family;
  readonly #buckets: readonly number[];
  readonly #series = new Map<string, { labels: Labels; series: Series }>();

  constructor(family: Family) {
    this.family = family;
    this.#buckets = family.buckets ?? [];
  }

  observe(labels: Labels, value: number): void {
    const key = labels.join('\0');
    let found = this.#series.get(key);
    if (found === undefined) {
      if (this.#series.size >= mostSeries) return;
      found = { labels, series: { counts: new Array(this.#buckets.length).fill(0), sum: 0, count: 0 } };
      this.#series.set(key, found);
    }
    const { series } = found;
    const bucket = this.#buckets.findIndex((bound) => value <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
    series.count += 1;
  }

  *all(): Generator<readonly [Labels, Series]> {
    for (const { labels, series } of this.#series.values()) yield [labels, series];
  }
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

function labelled(names: Labels, values: Labels): string {
  if (names.length === 0) return '';
  const pairs = names.map((name, index) => {
    const value = (values[index] ?? '').replaceAll(/["\\\n]/g, (found) => escapes[found] ?? found);
    return `${name}="${value}"`;
  });
  return `{${pairs.join(',')}}`;
}

function format(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
