import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Vm } from '@vivarium/model';

const run = promisify(execFile);
const MiB = 1024 ** 2;

/** What a shell in the guest prints. */
export const said = async (vm: Vm, command: string): Promise<string> =>
  (await vm.exec(['sh', '-c', command])).stdout.trim();

/** A tar.gz of a directory that a shell has filled. */
export async function archiveOf(fill: string): Promise<AsyncIterable<Uint8Array>> {
  const dir = await mkdtemp(path.join(tmpdir(), 'vol-'));
  try {
    await run('sh', ['-c', fill], { cwd: dir });
    const { stdout } = await run('tar', ['-cz', '--numeric-owner', '-C', dir, '.'], {
      encoding: 'buffer',
      maxBuffer: 256 * MiB,
    });
    return (async function* () {
      yield stdout;
    })();
  } finally {
    await rm(dir, { recursive: true });
  }
}
