import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Engine, openEngine } from '@vivarium/engine';
import { processesBelow } from './real-engine.ts';
import { archiveOf } from './volume-parts.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const MiB = 1024 ** 2;

describe('a host’s disk that is full while an archive comes in', {
  skip: isRoot ? false : 'a small file system is mounted, which only root may',
}, () => {
  let home: string;
  let image: string;
  let engine: Engine;
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'full-'));
    image = `${home}.img`;
    await writeFile(image, '');
    await truncate(image, 500 * MiB);
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    await run('mount', ['-o', 'loop', image, home]);
    engine = await openEngine({ home });
  });
  after(async () => {
    await engine.close();
    await run('umount', [home]);
    await rm(home, { recursive: true });
    await rm(image);
  });

  test('is what is told, and nothing is left of the volume or its guest', async () => {
    await engine.volumes.import(await archiveOf('echo small > file'), { name: 'small', size: '1GB' });
    await run('sync', ['-f', home]);
    const { bavail, bsize } = await statfs(home);
    await run('fallocate', ['-l', String(bavail * bsize - 24 * MiB), path.join(home, 'ballast')]);
    const large = await archiveOf('head -c 60000000 /dev/urandom > file');
    await assert.rejects(Promise.resolve(engine.volumes.import(large, { name: 'large', size: '1GB' })), {
      code: 'disk_full',
    });
    assert.deepEqual(
      (await engine.volumes.list()).map(({ name }) => name),
      ['small'],
    );
    assert.equal((await readdir(path.join(home, 'volumes'))).length, 1);
    assert.deepEqual(await processesBelow(home), []);
    await rm(path.join(home, 'ballast'));
    await engine.volumes.import(await archiveOf('echo again > file'), { name: 'large', size: '1GB' });
  });

  test('is not the volume that is full', async () => {
    const large = await archiveOf('head -c 60000000 /dev/urandom > file');
    await assert.rejects(Promise.resolve(engine.volumes.import(large, { size: '64MB' })), {
      code: 'payload_too_large',
    });
  });
});
