import { randomUUID } from 'node:crypto';
import { link, open, readFile, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ExitRecord } from '../driver.ts';

/** Bytes of the VMM's own words that go into a record. */
const stderrBytes = 4096;

/** What a shim said of an exit; undefined where it is not one. */
export function parseExit(value: unknown): ExitRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { code, signal, at, stderr, unobserved } = value as Record<string, unknown>;
  if (typeof code !== 'number' && typeof signal !== 'string' && unobserved !== true) return undefined;
  return {
    ...(typeof code === 'number' ? { code } : {}),
    ...(typeof signal === 'string' ? { signal } : {}),
    at: String(at),
    stderr: String(stderr ?? ''),
    ...(unobserved === true ? { unobserved } : {}),
  };
}

/** The record a shim left in a machine's directory; undefined where there is none. */
export async function readExit(dir: string): Promise<ExitRecord | undefined> {
  try {
    return parseExit(JSON.parse(await readFile(path.join(dir, 'exit.json'), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * For a VMM whose end nobody saw: its shim was killed, or the host went down. Kept as `exit.json`, so that whoever asks
 * again hears the same.
 */
export async function recordUnobservedExit(dir: string): Promise<ExitRecord> {
  const exit: ExitRecord = { at: new Date().toISOString(), stderr: await vmmLogTail(dir), unobserved: true };
  const file = path.join(dir, 'exit.json');
  // Who kills a machine and who watches it may both come here at once: the first one's word stands.
  const own = `${file}.${randomUUID()}`;
  await writeFile(own, `${JSON.stringify(exit)}\n`, { mode: 0o600, flush: true });
  try {
    await link(own, file);
    return exit;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readExit(dir)) ?? exit;
  } finally {
    await unlink(own);
  }
}

/** The last words of the VMM itself; empty where it has said nothing. */
export async function vmmLogTail(dir: string): Promise<string> {
  try {
    await using file = await open(path.join(dir, 'vmm.log'));
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, stderrBytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
