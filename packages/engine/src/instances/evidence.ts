import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';

/** The last `bytes` of a log of an instance as text, or nothing where it doesn't exist. */
export async function logTail(
  dir: string,
  name: 'console.log' | 'vmm.log' | 'app.log',
  bytes = 8192,
): Promise<string> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path.join(dir, name), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}

// Control characters would let a guest write on the terminal of whoever reads the error.
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

const newRun = '--- launched';

/** Parts what a new VMM will print from what is on the console already: a panic of last week explains nothing today. */
export async function markConsole(dir: string): Promise<void> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path.join(dir, 'console.log'), constants.O_WRONLY | constants.O_APPEND);
  } catch (error) {
    // The first launch: there is nothing to part from.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    await file.appendFile(`\n${newRun} ${new Date().toISOString()} ---\n`);
  } finally {
    await file.close();
  }
}

/** Last lines of the serial console since the launch, made safe to print. */
export async function consoleLines(dir: string, count = 20): Promise<string[]> {
  const text = await logTail(dir, 'console.log');
  const lines = text.split(/\r*\n/);
  return lines
    .slice(lines.findLastIndex((line) => line.startsWith(newRun)) + 1)
    .map((line) => line.replace(unprintable, ''))
    .filter((line) => line.trim() !== '')
    .slice(-count);
}

/** The kernel's own words when it panicked: `Attempted to kill init! exitcode=…`. */
export function panicIn(lines: readonly string[]): string | undefined {
  for (const line of lines.toReversed()) {
    const match = /Kernel panic - not syncing: (.*)/.exec(line);
    if (match) return match[1];
  }
  return undefined;
}
