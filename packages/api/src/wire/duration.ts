import { VivError } from '@vivarium/model';

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A wait is answered after at most so long; whoever wants to wait for longer asks again. Milliseconds. */
export const longestWaitMs = 5 * 60_000;

/** As Go prints it: `1m30s`, `500ms`, `0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return milliseconds === 0 ? '0s' : `${milliseconds}ms`;
  const seconds = milliseconds / 1000;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = `${Number((seconds % 60).toFixed(3))}s`;
  return hours > 0 ? `${hours}h${minutes}m${rest}` : minutes > 0 ? `${minutes}m${rest}` : rest;
}

/** Milliseconds of a duration as Go writes it: `30s`, `1m30s`, `500ms`, `0`. @throws VivError `invalid_request`. */
export function parseDuration(text: string): number {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    throw new VivError('invalid_request', `Not a duration: ${JSON.stringify(text)}`, {
      hint: 'Write a number and a unit, as in 30s, 1m30s or 500ms.',
    });
  }
  let milliseconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    milliseconds += Number(amount) * (units[unit ?? ''] ?? NaN);
  }
  return milliseconds;
}
