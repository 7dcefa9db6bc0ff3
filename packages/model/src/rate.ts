import { VivError } from './errors.ts';
import { formatSize, parseSize } from './size.ts';

const bits: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/**
 * Bytes a second of a number, of `100MB/s` (powers of 1024, the `/s` may be left out), or of bits (`1Gbps`, powers of 1000 as networks
 * have them).
 *
 * @throws VivError `invalid_size`.
 */
export function parseRate(rate: number | string, what = 'rate'): number {
  if (typeof rate === 'number') return parseSize(rate, what);
  const asBits = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:bps|bits?\/s)\s*$/i.exec(rate);
  if (asBits !== null)
    return Math.round((Number(asBits[1]) * (bits[(asBits[2] ?? '').toLowerCase()] ?? 1)) / 8);
  try {
    return parseSize(rate.replace(/\/s\s*$/i, ''), what);
  } catch (cause) {
    throw new VivError('invalid_size', `Not a ${what}: ${JSON.stringify(rate)}`, {
      hint: 'Use bytes a second or a number with a unit, as in 100MB/s, 125MB or 1Gbps.',
      cause,
    });
  }
}

/** For people: `100MB/s`. */
export function formatRate(bytes: number): string {
  return `${formatSize(bytes)}/s`;
}
