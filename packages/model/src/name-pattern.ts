/** What stands for a number in the names of copies and snapshots. */
const place = '%d';

/** Whether a pattern makes several names. */
export const isPattern = (pattern: string): boolean => pattern.includes(place);

/** The pattern with its number: `web-%d`, 3 -> `web-3`. */
export const numbered = (pattern: string, number: number): string =>
  pattern.replaceAll(place, String(number));

/**
 * The pattern with the lowest number, from 1, that makes a name which is not taken; a pattern without `%d` is the name itself,
 * taken or not. Whether it is a good name is not looked at.
 */
export function nextName(pattern: string, taken: Iterable<string>): string {
  if (!isPattern(pattern)) return pattern;
  const known = taken instanceof Set ? taken : new Set(taken);
  for (let number = 1; ; number++) {
    const name = numbered(pattern, number);
    if (!known.has(name)) return name;
  }
}
