import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Vm } from '@vivarium/model';
import { RealEngine } from './real-engine.ts';

const run = promisify(execFile);
const MiB = 1024 ** 2;

/** Nothing is made beside what is tested. */
export const openForVolumes = (): Promise<RealEngine> =>
  RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });

/** Removes every VM and every volume, and wants nothing of them to stay. */
export async function closeWithoutVolumes(real: RealEngine): Promise<void> {
  for await (const { id } of real.engine.all()) await (await real.engine.get(id)).delete({ force: true });
  for (const { id } of await real.engine.volumes.list()) await real.engine.volumes.remove(id);
  assert.deepEqual(await readdir(path.join(real.home, 'volumes')), []);
  await real[Symbol.asyncDispose]();
}

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
