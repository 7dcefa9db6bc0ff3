/*
 * A job of a CI: the tree goes in, the build runs with its output as it comes, the artefacts come out, and the VM is gone. The number of
 * the job is the idempotency key: a second attempt after a lost connection, or by another program, finds the same VM.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { viv } from 'vivarium';

const dir = await mkdtemp(path.join(tmpdir(), 'ci-'));
await mkdir(path.join(dir, 'project'));
await writeFile(path.join(dir, 'project/input.txt'), 'three\nlines\nhere\n');
await writeFile(
  path.join(dir, 'project/build.sh'),
  'set -e\necho building\nmkdir dist\nwc -l <input.txt >dist/lines\necho done >&2\n',
);

try {
  const job = `job-${process.pid}-${Date.now()}`;
  await using vm = await viv.run('busybox', { network: 'none' }, { idempotencyKey: job });

  let moved = 0;
  const put = await vm.files.copyIn(path.join(dir, 'project'), '/build', {
    onBytes: (bytes) => {
      moved = bytes;
    },
  });
  console.log('copied in:', put.entries, 'entries, told of all bytes:', moved === put.bytes);

  const build = vm.exec(['sh', 'build.sh'], { cwd: '/build', timeoutMs: 60_000 });
  for await (const { stream, data } of build) console.log(`${stream}: ${String(data).trim()}`);
  console.log('build ok:', (await build).ok);

  const got = await vm.files.copyOut('/build/dist', path.join(dir, 'dist'));
  console.log('copied out:', got.entries, 'entries');
  console.log('lines:', (await readFile(path.join(dir, 'dist/lines'), 'utf8')).trim());
} finally {
  await rm(dir, { recursive: true });
}

/* prints:
copied in: 3 entries, told of all bytes: true
stdout: building
stderr: done
build ok: true
copied out: 2 entries
lines: 3
*/
