import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { VivError } from '@vivarium/model';
import { bootId } from './identity.ts';

const run = promisify(execFile);

/**
 * How fast the time stamp counter of this host counts, in kHz: measured once a boot, which takes the shim's program 20 to 100 ms. Undefined
 * where guests can't go by it: on another architecture, where its rate changes, or where the host's own kernel has given it up.
 *
 * @throws VivError `assets_missing` where the shim's program is not there, `internal` where it can't be run.
 */
export async function tscKhz(shimPath: string, cacheDir?: string): Promise<number | undefined> {
  const file = cacheDir && path.join(cacheDir, 'tsc.json');
  const known = file && (await readRate(file));
  if (known) return known;
  const khz = await measure(shimPath);
  // What could not be measured may be the next time.
  if (file && khz !== undefined) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(`${file}.${process.pid}`, JSON.stringify({ bootId: await bootId(), khz }));
    await rename(`${file}.${process.pid}`, file);
  }
  return khz;
}

async function readRate(file: string): Promise<number | undefined> {
  try {
    const { bootId: boot, khz } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    return boot === (await bootId()) && isRate(khz) ? khz : undefined;
  } catch (error) {
    // Absent, or cut short by a crash: then it is measured again.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function measure(shimPath: string): Promise<number | undefined> {
  try {
    const { stdout } = await run(shimPath, ['tsc'], { env: {} });
    const { khz } = JSON.parse(stdout) as { khz?: unknown };
    return isRate(khz) ? khz : undefined;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new VivError('assets_missing', 'The shim is not there', { hint: 'Run `viv setup`.', cause });
    throw new VivError(
      'internal',
      `The rate of this host's time stamp counter could not be measured: ${String(cause)}`,
      { cause },
    );
  }
}

const isRate = (khz: unknown): khz is number => Number.isSafeInteger(khz) && (khz as number) > 0;
