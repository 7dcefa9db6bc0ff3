import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { VivError } from '@vivarium/model';

const secretBytes = 32;

/**
 * The key that tokens are signed with: `token.key` in the data directory, made on first use and readable by its owner
 * only. Whoever has it can make any token's signature, but no row in the list of tokens.
 *
 * @throws VivError `internal` for a file that is no key.
 */
export function loadSecret(home: string): Uint8Array {
  const file = path.join(home, 'token.key');
  return read(file) ?? make(file);
}

function read(file: string): Uint8Array | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const key = Buffer.from(text.trim(), 'base64url');
  if (key.byteLength === secretBytes) return key;
  throw new VivError('internal', `${file} is not a key of ${secretBytes} bytes`, {
    hint: 'Remove it, and make all tokens anew.',
  });
}

function make(file: string): Uint8Array {
  const key = randomBytes(secretBytes);
  const fresh = `${file}.${process.pid}`;
  rmSync(fresh, { force: true });
  // It appears whole or not at all, and never in the place of another.
  const fd = openSync(fresh, 'wx', 0o600);
  try {
    writeSync(fd, `${key.toString('base64url')}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  linkSync(fresh, file);
  rmSync(fresh);
  return key;
}
