import { spawnSync } from 'node:child_process';
import type { TerminalSize } from '@vivarium/model';
import { VivError } from '@vivarium/model';
import type { Context, Input } from '../context.ts';

/** The size of our terminal; 24 by 80 where it does not tell. */
export function terminalSize(context: Context): TerminalSize {
  const { columns, rows } = context.stdout.isTTY ? context.stdout : context.stderr;
  return { rows: rows || 24, cols: columns || 80 };
}

/** As docker does: a terminal for the guest needs one here, or keys and sizes would have nowhere to come from. */
export function requireTerminal(context: Context): void {
  if (context.stdin.isTTY) return;
  throw new VivError('invalid_request', 'The input is not a terminal.', {
    hint: 'Leave -t away, or run viv in a terminal.',
  });
}

/**
 * Node's raw mode leaves the terminal turning each line feed into carriage return and line feed. The guest's terminal has
 * done that already, and a full-screen program that moves its cursor down with a line feed must not land in column 1.
 */
function passOutputThrough(input: Input): void {
  if (!('fd' in input) || typeof input.fd !== 'number') return;
  // Where there is no stty, output is what it was: readable. Leaving raw mode restores this too.
  spawnSync('stty', ['-opost'], { stdio: [input.fd, 'ignore', 'ignore'] });
}

/** Puts a terminal into raw mode until disposed, and back on every way out of the process. */
export function rawMode(input: Input): Disposable {
  if (!input.isTTY || input.setRawMode === undefined) return { [Symbol.dispose]: () => undefined };
  const restore = () => void input.setRawMode?.(false);
  input.setRawMode(true);
  passOutputThrough(input);
  process.once('exit', restore);
  return {
    [Symbol.dispose]() {
      process.off('exit', restore);
      restore();
    },
  };
}
