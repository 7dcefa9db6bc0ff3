import { formatRate, formatSize, parseRate, parseSize, VivError } from '@vivarium/model';

/** How a value of the configuration is read, and what is said where it can't be. */
export interface Kind<T> {
  /** What may be written there, for people. */
  form: string;
  /** @throws VivError or Error whose message says what is wrong. */
  parse(value: unknown): T;
  /** As one would write it. */
  show(value: T): string | number | boolean;
}

const wrong = (form: string): VivError => new VivError('invalid_request', `is not ${form}`);

export function choice<const Word extends string>(...words: Word[]): Kind<Word> {
  const form = `one of ${words.map((word) => `\`${word}\``).join(', ')}`;
  return {
    form,
    parse: (value) => {
      const word = words.find((known) => known === value);
      if (word === undefined) throw wrong(form);
      return word;
    },
    show: (word) => word,
  };
}

export function number({ least, most, form }: { least: number; most: number; form: string }): Kind<number> {
  return {
    form,
    parse: (value) => {
      if (typeof value !== 'number' || !(value >= least && value <= most)) throw wrong(form);
      return value;
    },
    show: (value) => value,
  };
}

export const count: Kind<number> = {
  form: 'a whole number from 0 up',
  parse: (value) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(count.form);
    return value as number;
  },
  show: (value) => value,
};

/** Bytes. */
export const size: Kind<number> = {
  form: 'a size: bytes, or a number with a unit, `"512MB"`',
  parse: (value) => {
    if (typeof value !== 'number' && typeof value !== 'string') throw wrong(size.form);
    try {
      return parseSize(value);
    } catch (cause) {
      throw new VivError('invalid_request', `is not ${size.form}`, { cause });
    }
  },
  show: (value) => (value === 0 ? 0 : formatSize(value)),
};

/** Bytes a second. */
export const rate: Kind<number> = {
  form: 'a rate: bytes a second, `"100MB/s"` or `"1Gbps"`',
  parse: (value) => {
    if (typeof value !== 'number' && typeof value !== 'string') throw wrong(rate.form);
    try {
      return parseRate(value);
    } catch (cause) {
      throw new VivError('invalid_request', `is not ${rate.form}`, { cause });
    }
  },
  show: (value) => (value === 0 ? 0 : formatRate(value)),
};

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds. */
export const duration: Kind<number> = {
  form: 'a duration: `"500ms"`, `"30s"`, `"5m"`, `"1h"`',
  parse: (value) => {
    const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value) : null;
    const milliseconds = match === null ? NaN : Math.round(Number(match[1]) * (units[match[2] ?? ''] ?? NaN));
    if (!(milliseconds >= 0 && milliseconds < 2 ** 31)) throw wrong(duration.form);
    return milliseconds;
  },
  show: (value) => {
    const unit = (['h', 'm', 's'] as const).find((name) => value > 0 && value % (units[name] ?? 1) === 0);
    return unit === undefined ? `${value}ms` : `${value / (units[unit] ?? 1)}${unit}`;
  },
};
