import { VivError } from '@vivarium/model';

const durations: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** What setTimeout can hold: 24.8 days. */
const longest = 2 ** 31 - 1;

/** Milliseconds from `10` (seconds, as in Docker), `500ms`, `1.5m`, `2h`; without `most`, as many as a timer takes. */
export function parseDuration(text: string, option: string, most = longest): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
  const milliseconds =
    match === null ? NaN : Math.round(Number(match[1]) * (durations[match[2] ?? 's'] ?? NaN));
  if (Number.isNaN(milliseconds) || milliseconds > most) {
    throw new VivError('invalid_request', `${option}: ${JSON.stringify(text)} is not a duration.`, {
      hint: 'Use seconds or a number with ms, s, m, h or d, as in 10 or 500ms.',
    });
  }
  return milliseconds;
}

/** A whole number of at least `least`. */
export function parseCount(text: string, option: string, least: number): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(count >= least)) {
    throw new VivError(
      'invalid_request',
      `${option}: ${JSON.stringify(text)} is not a whole number from ${least} up.`,
    );
  }
  return count;
}

/** Permission bits in octal. */
export function parseMode(text: string, option: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new VivError('invalid_request', `${option}: ${JSON.stringify(text)} is no mode, as 755 is.`);
}

/** One of a few words. */
export function parseChoice<Word extends string>(text: string, option: string, words: readonly Word[]): Word {
  const word = words.find((candidate) => candidate === text);
  if (word === undefined) {
    throw new VivError(
      'invalid_request',
      `${option}: ${JSON.stringify(text)} is not one of ${words.join(', ')}.`,
    );
  }
  return word;
}

/** `key=value` options as a record; a key alone has the empty value, the last of two equal keys wins. */
export function parseTags(pairs: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      const key = equals === -1 ? pair : pair.slice(0, equals);
      if (key === '') throw new VivError('invalid_request', `${option}: ${JSON.stringify(pair)} has no key.`);
      return [key, equals === -1 ? '' : pair.slice(equals + 1)];
    }),
  );
}

/** Names, and the command behind `--`. */
export function splitCommand(args: readonly string[]): { names: string[]; words: string[] } {
  const cut = args.indexOf('--');
  return cut === -1
    ? { names: [...args], words: [] }
    : { names: args.slice(0, cut), words: args.slice(cut + 1) };
}

/** The command behind an image or a name: one `--` in front of it only separates. */
export function withoutSeparator(words: readonly string[]): string[] {
  return words[0] === '--' ? words.slice(1) : [...words];
}
