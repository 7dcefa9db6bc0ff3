import { VivError } from './errors.ts';

/** Case tells minutes from months, as in Incus. */
const milliseconds: Readonly<Record<string, number>> = {
  S: 1000,
  M: 60_000,
  H: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};
const months: Readonly<Record<string, number>> = { m: 1, y: 12 };

const time = /^(\d{4})-(\d\d)-(\d\d)[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const span = /^\d{1,9}[SMHdwmy](\s*\d{1,9}[SMHdwmy])*$/;

/**
 * When something ends, in RFC 3339: an RFC 3339 time as it is, or a span from now: `1d 3H`, with S seconds, M minutes, H hours,
 * d days, w weeks, m months, y years. Months and years are the calendar's in UTC: a month from 31 January is the last of February.
 *
 * @param now milliseconds since 1970.
 * @throws VivError `invalid_request` for anything else, and where it is not after now or after the year 9999.
 */
export function parseExpiry(text: string, now: number = Date.now()): string {
  const trimmed = text.trim();
  const at = time.test(trimmed) ? parseTime(trimmed) : span.test(trimmed) ? addSpan(trimmed, now) : NaN;
  if (!Number.isFinite(at)) {
    throw new VivError('invalid_request', `Not a time to end: ${JSON.stringify(text)}`, {
      hint: 'Use a span as in 30M or 1d 3H (S seconds, M minutes, H hours, d days, w weeks, m months, y years), or an RFC 3339 time.',
    });
  }
  if (at <= now || at >= Date.UTC(10_000, 0)) {
    throw new VivError(
      'invalid_request',
      `${JSON.stringify(text)} is ${at <= now ? 'not in the future' : 'after the year 9999'}`,
    );
  }
  return new Date(at).toISOString();
}

/** NaN for a day that its month does not have: `Date.parse` goes on into the next one. */
function parseTime(text: string): number {
  const [, year, month, day] = time.exec(text) ?? [];
  return Number(day) > daysOf(Number(year), Number(month) - 1) ? NaN : Date.parse(text.toUpperCase());
}

function addSpan(text: string, now: number): number {
  let wholeMonths = 0;
  let rest = 0;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+)([SMHdwmy])/g)) {
    wholeMonths += Number(amount) * (months[unit] ?? 0);
    rest += Number(amount) * (milliseconds[unit] ?? 0);
  }
  const date = new Date(now);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() + wholeMonths);
  date.setUTCDate(Math.min(day, daysOf(date.getUTCFullYear(), date.getUTCMonth())));
  // Beyond what a Date holds: certainly after the year 9999.
  return Number.isNaN(date.getTime()) ? Number.MAX_SAFE_INTEGER : date.getTime() + rest;
}

const daysOf = (year: number, month: number): number => new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
