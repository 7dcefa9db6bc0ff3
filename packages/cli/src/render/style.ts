import type { Output } from '../context.ts';

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

/** Colours one text; the same text where colours are off. */
export type Style = (colour: keyof typeof codes, text: string) => string;

/** Colours only on a terminal, and never where NO_COLOR is set (no-color.org) or the terminal is dumb. */
export function styleFor(output: Output, env: NodeJS.ProcessEnv): Style {
  const on = output.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return (colour, text) => (on ? `\x1b[${codes[colour][0]}m${text}\x1b[${codes[colour][1]}m` : text);
}

/** Text from a guest or a file made harmless for a terminal: control characters become visible escapes. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
