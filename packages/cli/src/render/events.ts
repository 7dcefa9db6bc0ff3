import { printable } from './style.ts';

/** One event as a line: when, its number, what it is about, what happened, and the facts as `key=value`. */
export function eventLine(event: {
  seq: number;
  at: string;
  about: string;
  type: string;
  data: Record<string, unknown>;
}): string {
  const { seq, at, about, type, data } = event;
  const facts = Object.entries(data).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return printable([at, `#${seq}`, about, type, ...facts].join('  '));
}
