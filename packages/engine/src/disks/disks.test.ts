import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import {
  baseDisk,
  checkRootSize,
  createRootDisk,
  growRootDisk,
  maximumRootBytes,
  minimumRootBytes,
  rootDiskInfo,
} from './index.ts';

const run = promisify(execFile);
const mib = 1024 ** 2;
const gib = 1024 ** 3;

interface Room extends AsyncDisposable {
  dir: string;
  bases: string;
  disk(name?: string): string;
}

async function room(): Promise<Room> {
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-disks-'));
  await mkdir(path.join(dir, 'vms'));
  return {
    dir,
    bases: path.join(dir, 'bases'),
    disk: (name = 'root') => path.join(dir, 'vms', `${name}.qcow2`),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

const fsck = (file: string) => run('/usr/sbin/e2fsck', ['-f', '-n', file]);

test('a root disk of any size is a clean, empty file system that takes next to no room', async () => {
  await using here = await room();
  for (const bytes of [minimumRootBytes, 100 * mib + 1, gib, 10 * gib, 1024 * gib]) {
    const file = here.disk(String(bytes));
    const made = await createRootDisk({ path: file, bases: here.bases, bytes });
    assert.equal(made.bytes, Math.ceil(bytes / mib) * mib);
    assert.ok(made.usedBytes < 2 * mib, `${made.usedBytes} bytes for ${bytes}`);
    await fsck(made.base ?? '');
    const base = await stat(made.base ?? '');
    assert.equal(base.size, made.bytes);
    assert.ok(base.blocks * 512 < 80 * mib, `the base takes ${base.blocks * 512}`);
  }
});

test('the guest has nothing to initialise: every group is marked as zeroed', async () => {
  await using here = await room();
  const { stdout } = await run('/usr/sbin/dumpe2fs', [await baseDisk(here.bases, 10 * gib)], {
    maxBuffer: 10 * mib,
  });
  const groups = stdout.match(/^Group \d+:/gm)?.length;
  assert.equal(groups, 80);
  assert.equal(stdout.match(/ITABLE_ZEROED/g)?.length, groups);
});

test('many makers of one size make one base, and what a killed one left is cleared away', async (t) => {
  await using here = await room();
  await mkdir(here.bases);
  await writeFile(path.join(here.bases, '.making-1-x'), 'of a killed process');
  const bin = path.join(here.dir, 'bin');
  const log = path.join(here.dir, 'made');
  await mkdir(bin);
  await writeFile(path.join(bin, 'mkfs.ext4'), `#!/bin/sh\necho >> ${log}\nexec /usr/sbin/mkfs.ext4 "$@"\n`, {
    mode: 0o755,
  });
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before}`;
  t.after(() => {
    process.env.PATH = before;
  });
  const disks = Array.from({ length: 8 }, (_, at) =>
    createRootDisk({ path: here.disk(`d${at}`), bases: here.bases, bytes: gib }),
  );
  const bases = (await Promise.all(disks)).map(async (disk) => (await stat(disk.base ?? '')).ino);
  assert.equal(new Set(await Promise.all(bases)).size, 1);
  assert.equal(await readFile(log, 'utf8'), '\n', 'made once');
  assert.deepEqual(await readdir(here.bases), [`ext4-${gib}.raw`]);
  const stop = new AbortController();
  const making = createRootDisk({
    path: here.disk('x'),
    bases: here.bases,
    bytes: 2 * gib,
    signal: stop.signal,
  });
  stop.abort();
  await assert.rejects(making, (error) => isVivError(error, 'cancelled'));
  assert.ok(!(await readdir(path.join(here.dir, 'vms'))).some((name) => name.startsWith('x')), 'no overlay');
  const whole = [`ext4-${gib}.raw`, `ext4-${2 * gib}.raw`];
  assert.deepEqual((await readdir(here.bases)).sort(), whole, 'the base is whole, and serves the next one');
});

test('one maker giving up does not spoil the base for another', async () => {
  await using here = await room();
  const stop = new AbortController();
  const given = createRootDisk({ path: here.disk('a'), bases: here.bases, bytes: gib, signal: stop.signal });
  const other = createRootDisk({ path: here.disk('b'), bases: here.bases, bytes: gib });
  stop.abort();
  await assert.rejects(given, (error) => isVivError(error, 'cancelled'));
  assert.equal((await other).bytes, gib);
  assert.deepEqual((await readdir(path.join(here.dir, 'vms'))).sort(), ['b.base.raw', 'b.qcow2']);
});

test('a moved data directory still holds its disks', async () => {
  await using here = await room();
  await createRootDisk({ path: here.disk(), bases: here.bases, bytes: gib });
  const moved = `${here.dir}-moved`;
  await rename(here.dir, moved);
  try {
    const file = path.join(moved, 'vms/root.qcow2');
    assert.equal((await rootDiskInfo(file)).base, path.join(moved, 'vms/root.base.raw'));
    await run('qemu-img', ['check', file]);
    await run('qemu-img', [
      'compare',
      '-f',
      'qcow2',
      '-F',
      'raw',
      file,
      path.join(moved, `bases/ext4-${gib}.raw`),
    ]);
  } finally {
    await rename(moved, here.dir);
  }
});

test('a disk grows and does not shrink, and its content stays', async () => {
  await using here = await room();
  const file = here.disk();
  await createRootDisk({ path: file, bases: here.bases, bytes: gib });
  assert.equal((await growRootDisk(file, gib)).bytes, gib, 'the same size is no change');
  assert.equal((await growRootDisk(file, 3 * gib)).bytes, 3 * gib);
  await assert.rejects(
    growRootDisk(file, 2 * gib),
    (error) => isVivError(error, 'invalid_size') && /3GB/.test(error.message),
  );
  const flat = path.join(here.dir, 'flat');
  await run('qemu-img', ['convert', '-O', 'raw', file, flat]);
  await fsck(flat);
  await run('/usr/sbin/resize2fs', [flat]);
  await fsck(flat);
});

test('a disk that a VMM has open is reported on, and not grown behind its back', async () => {
  await using here = await room();
  const file = here.disk();
  await createRootDisk({ path: file, bases: here.bases, bytes: gib });
  // Holds the disk as a VMM would, until its input ends.
  const holder = spawn('qemu-io', ['-f', 'qcow2', file], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    holder.stdin.write('read 0 512\n');
    await once(holder.stdout, 'data');
    assert.equal((await rootDiskInfo(file)).bytes, gib);
    await assert.rejects(growRootDisk(file, 2 * gib), (error) => isVivError(error, 'busy'));
  } finally {
    holder.kill('SIGKILL');
    await once(holder, 'close');
  }
});

test('sizes that no disk has are refused before anything is made', async () => {
  await using here = await room();
  for (const bytes of [
    0,
    -1,
    1.5,
    Number.NaN,
    minimumRootBytes - 1,
    maximumRootBytes + 1,
    Number.POSITIVE_INFINITY,
  ]) {
    await assert.rejects(
      createRootDisk({ path: here.disk(), bases: here.bases, bytes }),
      (error) => isVivError(error, 'invalid_size'),
      String(bytes),
    );
  }
  assert.deepEqual(await readdir(path.join(here.dir, 'vms')), []);
  fc.assert(
    fc.property(fc.integer({ min: minimumRootBytes, max: maximumRootBytes }), (bytes) => {
      const rounded = checkRootSize(bytes);
      assert.ok(
        rounded >= bytes &&
          rounded - bytes < mib &&
          rounded % mib === 0 &&
          checkRootSize(rounded) === rounded,
      );
    }),
  );
});

test('a size the host file system cannot hold is a wrong size, and leaves nothing', async () => {
  await using here = await room();
  const made = await createRootDisk({ path: here.disk(), bases: here.bases, bytes: maximumRootBytes }).catch(
    (error) => {
      assert.ok(isVivError(error, 'invalid_size'), error);
      return undefined;
    },
  );
  if (made === undefined) assert.deepEqual(await readdir(here.bases), []);
});

test('nothing is written over a disk that is there, and what is no disk is told as such', async () => {
  await using here = await room();
  await createRootDisk({ path: here.disk(), bases: here.bases, bytes: gib });
  await assert.rejects(createRootDisk({ path: here.disk(), bases: here.bases, bytes: gib }), (error) =>
    isVivError(error, 'conflict'),
  );
  await assert.rejects(rootDiskInfo(here.disk('absent')), (error) => isVivError(error, 'path_not_found'));
  await writeFile(here.disk('text'), 'no disk');
  await assert.rejects(
    rootDiskInfo(here.disk('text')),
    (error) => isVivError(error, 'internal') && /no qcow2 disk/.test(error.message),
  );
});

test('a full disk and a missing tool are told apart, and the disk stays as it was', async () => {
  await using here = await room();
  await createRootDisk({ path: here.disk(), bases: here.bases, bytes: gib });
  const bin = path.join(here.dir, 'bin');
  await mkdir(bin);
  await writeFile(
    path.join(bin, 'qemu-img'),
    '#!/bin/sh\necho "qemu-img: x: No space left on device" >&2\nexit 1\n',
  );
  await chmod(path.join(bin, 'qemu-img'), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before}`;
  try {
    await assert.rejects(growRootDisk(here.disk(), 2 * gib), (error) => isVivError(error, 'disk_full'));
    process.env.PATH = '/nonexistent';
    await assert.rejects(
      growRootDisk(here.disk(), 2 * gib),
      (error) => isVivError(error, 'assets_missing') && /qemu-utils/.test(error.hint ?? ''),
    );
  } finally {
    process.env.PATH = before;
  }
  assert.deepEqual((await readdir(path.join(here.dir, 'vms'))).sort(), ['root.base.raw', 'root.qcow2']);
  assert.equal((await rootDiskInfo(here.disk())).bytes, gib);
});
