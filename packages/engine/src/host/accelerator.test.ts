import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeAccelerator } from './accelerator.ts';

/** With scripts in the place of QEMU, and a file in that of /dev/kvm. */
describe('the accelerator', () => {
  let dir: string;
  let count = 0;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-probe-'));
    await writeFile(path.join(dir, 'kvm'), '');
  });
  after(() => rm(dir, { recursive: true }));

  const probe = async (script: string, options: { device?: string; name?: string } = {}) => {
    const file = path.join(dir, options.name ?? `qemu-${count++}`);
    await writeFile(file, `#!/bin/sh\necho run >> ${file}.runs\n${script}\n`, { mode: 0o755 });
    const verdict = await probeAccelerator({
      qemu: { path: file, version: '7.2.0', machine: 'pc-q35-7.2' },
      kernel: '/vmlinux',
      cacheDir: path.join(dir, 'cache'),
      device: options.device ?? path.join(dir, 'kvm'),
      silenceMs: 300,
      deadlineMs: 600,
    });
    const runs = await readFile(`${file}.runs`, 'utf8').catch(() => '');
    return { ...verdict, runs: runs.split('run').length - 1 };
  };

  test('is KVM once a guest has come all the way up with it, and is tried once per boot of the host', async () => {
    const boots =
      'echo "Linux version 6.1"; echo "Kernel panic - not syncing: VFS: Unable to mount root fs"; exec sleep 60';
    assert.equal((await probe(boots, { name: 'good' })).accelerator, 'kvm');
    assert.deepEqual(
      { ...(await probe(boots, { name: 'good' })), reason: '' },
      { accelerator: 'kvm', reason: '', runs: 1 },
    );
  });

  test('is TCG where the guest says nothing, and the reason says so', async () => {
    const { accelerator, reason } = await probe('exec sleep 60');
    assert.equal(accelerator, 'tcg');
    assert.match(reason, /hangs guests.*300 ms/);
  });

  test('is TCG where the guest begins and gets nowhere', async () => {
    const { accelerator, reason } = await probe('echo "Linux version 6.1"; exec sleep 60');
    assert.equal(accelerator, 'tcg');
    assert.match(reason, /600 ms/);
  });

  test('is TCG where QEMU refuses, with its reason', async () => {
    const { accelerator, reason } = await probe('echo "failed to initialize kvm: Busy" >&2; exit 1');
    assert.equal(accelerator, 'tcg');
    assert.match(reason, /initialize kvm: Busy/);
  });

  test('is TCG without trying where there is no device', async () => {
    const { accelerator, reason, runs } = await probe('exit 1', { device: path.join(dir, 'none') });
    assert.deepEqual([accelerator, runs], ['tcg', 0]);
    assert.match(reason, /has no/);
  });
});
