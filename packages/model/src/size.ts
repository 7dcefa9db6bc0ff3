import { VivError } from './errors.ts';

const units: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/**
 * A size in bytes. Numbers are bytes; strings are a number and an optional unit: `512`, `256MB`, `1.5G`,
 * `10GiB`. All units are powers of 1024, as in Docker and hypeman.
 *
 * @throws VivError `invalid_size` for anything else, for negatives and for sizes past 2^53.
 */
export function parseSize(size: number | string, what = 'size'): number {
  const match =
    typeof size === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?\s*$/i.exec(size) : null;
  const bytes =
    typeof size === 'number'
      ? size
      : match
        ? Math.round(Number(match[1]) * (units[(match[2] ?? 'b').toLowerCase()] ?? 1))
        : NaN;
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new VivError('invalid_size', `Not a ${what}: ${JSON.stringify(size)}`, {
      hint: 'Use bytes or a number with a unit, as in 512MB or 10GB.',
    });
  }
  return bytes;
}

/** Bytes for people: the largest unit that keeps the number at 1 or more, one decimal, `10GB`, `1.5MB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'KB', 'MB', 'GB']) {
    if (value < 1024) return `${Number(value.toFixed(1))}${unit}`;
    value /= 1024;
  }
  return `${Number(value.toFixed(1))}TB`;
}
