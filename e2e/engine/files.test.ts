import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { encodeHeader, endOfArchive, packFile, type TarHeader } from '@vivarium/archive';
import type { Vm } from '@vivarium/model';
import { RealEngine } from './real-engine.ts';

const isRoot = process.getuid?.() === 0;

describe('files of a real VM', () => {
  let real: RealEngine;
  let vm: Vm;
  let dir: string;
  before(async () => {
    real = await RealEngine.open();
    dir = await mkdtemp(path.join(tmpdir(), 'files-'));
    vm = await real.engine.run('busybox');
  });
  after(async () => {
    await rm(dir, { recursive: true, force: true });
    await real[Symbol.asyncDispose]();
  });
  const sh = async (script: string) => (await vm.exec(['sh', '-c', script]).orThrow()).stdout.trim();

  test('go in and come back with modes, setuid, links, hard links, times and owners', async () => {
    const tree = path.join(dir, 'tree');
    await makeTree(tree);
    await vm.files.copyIn(tree, '/srv-tree');
    assert.equal(await sh('stat -c %a /srv-tree/bin/setuid'), '4755');
    assert.equal(await sh('stat -c %h /srv-tree/one'), '2');
    assert.equal(await sh('stat -c %i /srv-tree/one'), await sh('stat -c %i /srv-tree/deep/two'));
    assert.equal(await sh('readlink /srv-tree/dangling'), '/no/where');
    assert.equal(await sh('stat -c %Y /srv-tree/one'), '1234567890');
    if (isRoot) assert.equal(await sh('stat -c %u:%g /srv-tree/owned'), '1234:3000000');
    await vm.files.copyOut('/srv-tree', path.join(dir, 'back'));
    assert.deepEqual(await describeTree(path.join(dir, 'back')), await describeTree(tree));
  });

  test('that the kernel invents, with a size of zero, are read as they are', async () => {
    const inside = await vm.exec(['cat', '/proc/cpuinfo']).orThrow();
    assert.ok(inside.stdout.includes('processor'));
    await vm.files.copyOut('/proc/cpuinfo', path.join(dir, 'cpuinfo'));
    const copied = await readFile(path.join(dir, 'cpuinfo'), 'utf8');
    assert.equal(copied.split('\n')[0], inside.stdout.split('\n')[0]);
    assert.ok(copied.includes('processor'));
  });

  test('named by an archive outside of its destination are refused, and nothing of it lands there', async () => {
    const file = { mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 };
    const evil = Buffer.from('evil');
    await sh('rm -rf /jail /outside; mkdir -p /jail/in /outside; echo mine > /outside/kept');
    for (const name of ['../escaped', 'a/../../escaped', '../../../../escaped']) {
      await assert.rejects(vm.files.putArchive('/jail/in', packFile({ ...file, name }, evil)), {
        code: 'archive_hostile',
      });
    }
    const symlinkThen = (linkName: string, name: string) =>
      stream(
        entry({ ...file, name: 'door', kind: 'symlink', size: 0, linkName }),
        entry({ ...file, name, kind: 'file', size: 4 }, evil),
      );
    for (const target of ['/outside', '../../outside']) {
      await assert.rejects(vm.files.putArchive('/jail/in', symlinkThen(target, 'door/kept')));
    }
    await assert.rejects(
      vm.files.putArchive(
        '/jail/in',
        stream(
          entry({ ...file, name: 'hard', kind: 'hardlink', size: 0, linkName: '../../outside/kept' }),
          entry({ ...file, name: 'hard', kind: 'file', size: 4 }, evil),
        ),
      ),
    );
    assert.equal(
      await sh('cat /outside/kept; ls /outside | wc -l; ls -d /escaped /jail/escaped || true'),
      'mine\n1',
    );
  });

  test('of an archive that is cut off or no archive are refused, and the next copy works', async () => {
    const whole = Buffer.concat([
      encodeHeader({ name: 'cut', kind: 'file', size: 100_000, mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 }),
      Buffer.alloc(5000),
    ]);
    await assert.rejects(vm.files.putArchive('/tmp', bytes(whole)), { code: 'archive_invalid' });
    await assert.rejects(vm.files.putArchive('/tmp', bytes(randomBytes(3000))), { code: 'archive_invalid' });
    await vm.files.writeFile('/tmp/after', 'fine');
    assert.equal((await vm.files.readFile('/tmp/after')).toString(), 'fine');
  });

  test('that are not there are told so by their path', async () => {
    for (const call of [
      () => vm.files.stat('/no/such'),
      () => vm.files.readFile('/no/such'),
      () => vm.files.copyOut('/no/such', dir),
      () => vm.files.copyIn(path.join(dir, 'absent'), '/tmp/'),
    ]) {
      await assert.rejects(call, (error: Error & { code: string }) => {
        assert.equal(error.code, 'path_not_found');
        assert.match(error.message, /no\/such|absent/);
        return true;
      });
    }
  });

  test('are copied while commands run, both ways, and each gets its own', async () => {
    const big = path.join(dir, 'big');
    const content = randomBytes(8 << 20);
    await writeFile(big, content);
    const copies = (async () => {
      await vm.files.copyIn(big, '/tmp/big');
      await vm.files.copyOut('/tmp/big', path.join(dir, 'big-back'));
    })();
    let count = 0;
    const commands = (async () => {
      for (; count < 20; count++) assert.equal(await sh(`echo ${count}`), String(count));
    })();
    await Promise.all([copies, commands]);
    assert.ok(content.equals(await readFile(path.join(dir, 'big-back'))));
  });

  test('of a copy that is aborted half-way leave the VM well', async () => {
    const controller = new AbortController();
    async function* endless() {
      const header = { name: 'endless', mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 };
      yield encodeHeader({ ...header, kind: 'file', size: 2 ** 33 });
      for (let n = 0; ; n++) {
        if (n === 20) controller.abort();
        yield Buffer.alloc(65_536);
      }
    }
    await assert.rejects(vm.files.putArchive('/tmp', endless(), { signal: controller.signal }));
    assert.equal(await sh('echo well'), 'well');
  });

  test('fill the disk of the guest with ENOSPC, and the guest lives', async () => {
    await using small = await real.engine.run('busybox', { disk: '64MB' });
    const script = 'dd if=/dev/zero of=/fill bs=1M count=100';
    const full = await small.exec(['sh', '-c', script]);
    assert.equal(full.exitCode, 1);
    assert.match(full.stderr, /No space left on device/);
    async function* tooMuch() {
      yield* packFile({ name: 'more', mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 }, Buffer.alloc(8 << 20));
    }
    await assert.rejects(small.files.putArchive('/', tooMuch()), /[Nn]o space/);
    assert.equal((await small.exec(['sh', '-c', 'rm /fill /more; echo free > /x; cat /x'])).stdout, 'free\n');
  });
});

async function makeTree(root: string): Promise<void> {
  await mkdir(path.join(root, 'deep/er'), { recursive: true });
  await mkdir(path.join(root, 'bin'));
  await mkdir(path.join(root, 'sticky'));
  await chmod(path.join(root, 'sticky'), 0o1777);
  await writeFile(path.join(root, 'bin/setuid'), '#!/bin/sh\n');
  await writeFile(path.join(root, 'one'), randomBytes(70_000));
  await link(path.join(root, 'one'), path.join(root, 'deep/two'));
  await writeFile(path.join(root, 'empty'), '');
  await writeFile(path.join(root, 'owned'), 'owned');
  await writeFile(path.join(root, `grüße ${'long '.repeat(30)}`), 'name');
  await symlink('/no/where', path.join(root, 'dangling'));
  await symlink('../one', path.join(root, 'deep/up'));
  if (isRoot) await chown(path.join(root, 'owned'), 1234, 3_000_000);
  await chmod(path.join(root, 'owned'), 0o640);
  await chmod(path.join(root, 'bin/setuid'), 0o4755);
  await utimes(path.join(root, 'one'), 1_234_567_890, 1_234_567_890);
  await lutimes(path.join(root, 'dangling'), 1_000_000_000, 1_000_000_000);
  await utimes(path.join(root, 'deep/er'), 1_111_111_111, 1_111_111_111);
}

/** Everything a copy must keep, by relative path; hard links by the first path of their file. */
async function describeTree(root: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const first = new Map<number, string>();
  const names = ['', ...(await readdir(root, { recursive: true }))].sort();
  for (const name of names) {
    const file = path.join(root, name);
    const stats = await lstat(file);
    if (!first.has(stats.ino)) first.set(stats.ino, name);
    found[name] = {
      mode: stats.mode,
      owner: `${stats.uid}:${stats.gid}`,
      time: Math.round(stats.mtimeMs),
      same: first.get(stats.ino),
      content: stats.isFile()
        ? (await readFile(file)).toString('base64')
        : stats.isSymbolicLink()
          ? await readlink(file)
          : '',
    };
  }
  assert.ok(existsSync(root));
  return found;
}

function entry(header: TarHeader, body: Uint8Array = new Uint8Array()): Uint8Array {
  return Buffer.concat([encodeHeader(header), body, Buffer.alloc((512 - (body.byteLength % 512)) % 512)]);
}

async function* bytes(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}

async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
  yield endOfArchive;
}
