import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { openEngine } from '@vivarium/engine';
import type { Vm } from '@vivarium/model';
import { processesBelow, RealEngine, until } from './real-engine.ts';

describe('a real VM on a bad day', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open();
    vm = await real.engine.create({ image: 'busybox', name: 'unlucky' });
  });
  afterEach(async () => {
    await vm.stop({ force: true });
    assert.deepEqual(await processesBelow(real.home), []);
  });
  after(() => real[Symbol.asyncDispose]());

  const dirOf = ({ id }: Vm) => path.join(real.home, 'instances', id);
  const pids = async () => {
    const shim = JSON.parse(await readFile(path.join(dirOf(vm), 'shim.json'), 'utf8'));
    return { shim: shim.shim.pid as number, vmm: shim.vmm.pid as number };
  };

  test('whose QEMU is killed is Stopped within a second, and says by what', async () => {
    await vm.start();
    const lost = vm.exec(['sleep', '1000']);
    await lost.id;
    const { vmm } = await pids();
    const at = performance.now();
    process.kill(vmm, 'SIGKILL');
    await vm.waitFor('Stopped');
    assert.ok(performance.now() - at < 1000, `${performance.now() - at} ms`);
    const { exit } = await vm.refresh();
    assert.equal(exit?.reason, 'vmm_exited');
    assert.match(exit?.message ?? '', /SIGKILL/);
    assert.deepEqual(exit?.vmm, { signal: 'SIGKILL' });
    await assert.rejects(lost.orThrow());
  });

  test('whose shim is killed is Stopped within a second or so, with its QEMU gone', async () => {
    await vm.start();
    const { shim } = await pids();
    const at = performance.now();
    process.kill(shim, 'SIGKILL');
    await vm.waitFor('Stopped');
    assert.ok(performance.now() - at < 1500, `${performance.now() - at} ms`);
    assert.equal((await vm.refresh()).exit?.reason, 'vmm_exited');
    assert.deepEqual(await processesBelow(real.home), []);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
  });

  test('whose QEMU hangs holds up neither commands with a time-out nor the stop', async () => {
    await vm.start();
    process.kill((await pids()).vmm, 'SIGSTOP');
    await assert.rejects(async () => await vm.exec(['true'], { timeoutMs: 100 }), { code: 'timeout' });
    await assert.rejects(vm.exec(['true'], { signal: AbortSignal.timeout(100) }).orThrow());
    assert.deepEqual(await vm.stop({ timeoutMs: 500 }), { changed: true, state: 'Stopped' });
    assert.equal((await vm.refresh()).exit?.reason, 'killed');
  });

  test('whose kernel panics is Stopped with the words of the kernel', async () => {
    await vm.start();
    const last = vm.exec(['sh', '-c', 'mount -t proc proc /proc 2>/dev/null; echo c > /proc/sysrq-trigger']);
    await vm.waitFor('Stopped', { timeoutMs: 20_000 });
    await assert.rejects(last.orThrow());
    const { exit } = await vm.refresh();
    assert.equal(exit?.reason, 'panicked');
    assert.match(exit?.message ?? '', /sysrq triggered crash/);
  });

  test('that floods its console and its outputs goes on, and its logs stay small', async () => {
    await using noisy = await real.engine.run('busybox', {
      cmd: ['sh', '-c', 'yes flood of the standard output of this entrypoint'],
      stdin: 'null',
    });
    const dir = dirOf(noisy);
    const flood = noisy.exec(['sh', '-c', 'yes "flood of the console" | head -c 15000000 > /dev/console']);
    const before = process.memoryUsage.rss();
    await until('a rotated log', async () => (await readdir(dir)).includes('app.log.1'), 90_000);
    assert.equal((await noisy.exec(['echo', 'well'])).stdout, 'well\n');
    const logs = (await readdir(dir)).filter((name) => name.includes('.log'));
    for (const name of logs) assert.ok((await stat(path.join(dir, name))).size <= 10.1 * 2 ** 20, name);
    assert.ok(logs.length <= 5, logs.join());
    assert.ok(process.memoryUsage.rss() - before < 100 * 2 ** 20);
    await flood.kill('SIGKILL');
    await noisy.stop({ force: true });
  });

  test('whose commands eat all of its memory loses them, and nothing else', async () => {
    await vm.start();
    const hungry = await vm.exec(['tail', '/dev/zero'], { timeoutMs: 60_000 });
    assert.deepEqual([hungry.exitCode, hungry.signal, hungry.timedOut], [137, 'SIGKILL', false]);
    assert.equal((await vm.exec(['echo', 'well'])).stdout, 'well\n');
  });

  test('whose entrypoint eats all of its memory says that this was its end', async () => {
    await using hungry = await real.engine.run('busybox', { cmd: ['tail', '/dev/zero'] });
    await hungry.waitFor('Stopped');
    const { exit } = await hungry.refresh();
    assert.deepEqual([exit?.reason, exit?.code], ['exited', 137]);
    assert.match(exit?.message ?? '', /SIGKILL.*OOM/);
  });

  test('leaves a record whose pids others have by now, and they are not touched', async () => {
    await vm.start();
    const { shim, vmm } = await pids();
    const file = path.join(dirOf(vm), 'shim.json');
    const record = JSON.parse(await readFile(file, 'utf8'));
    await vm.stop({ force: true });
    // Begun after the VM has lived: a process that began in the same clock tick (10 ms) as the shim would be taken for it.
    const bystander = spawn('sleep', ['1000'], { stdio: 'ignore' });
    try {
      await real.engine.close();
      record.shim.pid = bystander.pid;
      record.vmm.pid = bystander.pid;
      await writeFile(file, JSON.stringify(record));
      await rebuildFrom(real);
      vm = await real.engine.get('unlucky');
      assert.equal(vm.info.state, 'Stopped');
      await vm.stop({ force: true });
      assert.equal(bystander.exitCode ?? bystander.signalCode, null);
      assert.ok(shim !== bystander.pid && vmm !== bystander.pid);
      assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    } finally {
      bystander.kill('SIGKILL');
      await once(bystander, 'exit');
    }
  });

  test('has one owner: a second engine on its data directory is told whose it is', async () => {
    await assert.rejects(openEngine({ home: real.home }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'data_dir_locked');
      assert.match(error.message, new RegExp(`\\b${process.pid}\\b`));
      return true;
    });
  });
});

/** Makes the next engine look for every VM, as after the loss of the database. */
async function rebuildFrom(real: RealEngine): Promise<void> {
  const { rm } = await import('node:fs/promises');
  for (const name of await readdir(real.home)) {
    if (name.startsWith('vivarium.db')) await rm(path.join(real.home, name));
  }
  real.engine = await openEngine({ home: real.home });
  await real.engine.doctor({ rebuild: true });
}
