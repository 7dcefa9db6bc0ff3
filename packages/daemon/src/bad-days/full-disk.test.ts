import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { openHouse } from '../testing/house.ts';
import { call } from '../testing/http.ts';
import { startProgram } from '../testing/program.ts';
import { standingIn, withVms } from '../testing/standing-in.ts';

const root = process.getuid?.() === 0;
const megabyte = Buffer.alloc(1024 * 1024, 'x');

/** Sends megabytes until it is told to stop; answers status and body. */
function upload(socketPath: string, method: string, where: string, megabytes: number) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request({ socketPath, method, path: where }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      answer.on('error', reject);
    });
    // Refused before all of it was sent.
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
    });
    Readable.from(Array.from({ length: megabytes }, () => megabyte)).pipe(sent);
  });
}

test('an upload that fills the disk is disk_full, leaves nothing, and the daemon goes on', {
  skip: !root && 'only root mounts',
}, async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'viv-test', home]);
  try {
    const daemon = await startProgram(home);
    try {
      const free = () => statfsSync(home).bavail * statfsSync(home).bsize;
      const before = free();
      for (let n = 0; n < 2; n++) {
        const { status, text } = await upload(daemon.socket, 'POST', '/images/import', 64);
        assert.deepEqual([status, JSON.parse(text).code], [507, 'disk_full'], text);
      }
      assert.deepEqual(
        readdirSync(home).filter((name) => name.startsWith('import-')),
        [],
      );
      assert.ok(before - free() < 2 * megabyte.byteLength, `${before - free()} bytes are gone`);
      const made = await call(daemon.socket, 'POST', '/instances', { body: { image: 'busybox' } });
      assert.equal(made.status, 201, made.text);
    } finally {
      await daemon.end('SIGTERM');
    }
  } finally {
    execFileSync('umount', [home]);
    rmSync(home, { recursive: true });
  }
});

test('a full disk while a guest’s files are written is told as that', async () => {
  const full = () =>
    Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }));
  await using house = await openHouse({
    behind: (engine) =>
      withVms(engine, ({ files }) => ({ files: standingIn(files, { writeFile: full, putArchive: full }) })),
  });
  await house.viv.run('busybox', { name: 'host' });
  for (const where of ['files?path=/tmp/f', 'files/archive?path=/tmp']) {
    const { status, text } = await upload(house.daemon.socket, 'PUT', `/instances/host/${where}`, 4);
    assert.deepEqual([status, JSON.parse(text).code], [507, 'disk_full'], text);
  }
});
