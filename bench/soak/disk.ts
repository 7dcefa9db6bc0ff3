import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };

/** What e2fsck has against the root disk of an instance that is off; nothing is written. */
export async function fsck(instanceDir: string, scratch: string): Promise<string[]> {
  const raw = path.join(scratch, 'root.raw');
  try {
    await run('qemu-img', ['convert', '-O', 'raw', path.join(instanceDir, 'root.qcow2'), raw], { env });
    await run('e2fsck', ['-fn', raw], { env });
    return [];
  } catch (error) {
    const { stdout = '', message } = error as { stdout?: string; message: string };
    return [`e2fsck: ${message}`, ...stdout.trim().split('\n')];
  } finally {
    await rm(raw, { force: true });
  }
}
