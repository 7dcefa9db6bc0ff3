import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { LogLine, Vm } from '@vivarium/model';
import { processesBelow, RealEngine, until } from './real-engine.ts';

const clock = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done';

describe('the life of a real VM', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open();
    vm = await real.engine.create({ image: 'busybox', name: 'life', cmd: ['sh', '-c', clock] });
  });
  after(() => real[Symbol.asyncDispose]());

  const ticks = async () => (await collect(vm.logs())).length;

  test('begins with a VMM that has not booted, which start then boots', async () => {
    assert.deepEqual(await vm.prepare(), { changed: true, state: 'Created' });
    const { vmm } = await vm.refresh();
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.equal((await vm.refresh()).vmm?.pid, vmm?.pid);
  });

  test('is measured from inside and from the host', async () => {
    const stats = await vm.stats();
    const MiB = 2 ** 20;
    assert.ok(stats.memory.totalBytes > 150 * MiB && stats.memory.totalBytes <= 256 * MiB);
    assert.ok(stats.memory.usedBytes > MiB && stats.memory.availableBytes < stats.memory.totalBytes);
    assert.ok(stats.disk.totalBytes > 8 * 1024 * MiB && stats.disk.totalBytes <= 10 * 1024 * MiB);
    assert.ok(stats.cpuNanos > 1e7 && stats.processes >= 1);
    assert.ok((stats.vmm?.residentBytes ?? 0) > 30 * MiB);
    await vm.exec([
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8 9; do :; done; dd if=/dev/zero of=/f bs=1M count=8; sync',
    ]);
    const later = await vm.stats();
    assert.ok(later.cpuNanos > stats.cpuNanos);
    assert.ok(later.disk.writtenBytes > stats.disk.writtenBytes);
  });

  test('stands still while it is paused and goes on when it is resumed', async () => {
    await until('ticks', async () => (await ticks()) > 3);
    assert.deepEqual(await vm.pause(), { changed: true, state: 'Paused' });
    await assert.rejects(vm.exec(['true']).orThrow(), { code: 'invalid_state' });
    const before = await ticks();
    await vm.waitFor('Running', { timeoutMs: 300 }).catch(() => undefined);
    assert.ok((await ticks()) - before <= 1);
    assert.deepEqual(await vm.resume(), { changed: true, state: 'Running' });
    await until('more ticks', async () => (await ticks()) > before + 2);
  });

  test('knows the time of the host, also after a pause', async () => {
    await vm.pause();
    await vm.waitFor('Running', { timeoutMs: 2500 }).catch(() => undefined);
    await vm.resume();
    const asked = Date.now();
    const { stdout } = await vm.exec(['date', '+%s']).orThrow();
    assert.ok(Math.abs(Number(stdout) * 1000 - asked) < 2500, `${stdout} at ${asked}`);
  });

  test('is followed by its log, line by line, until the VM stops', async () => {
    const seen: LogLine[] = [];
    const following = (async () => {
      for await (const line of vm.logs({ follow: true, tail: 1 })) seen.push(line);
    })();
    await until('lines', () => seen.length > 5);
    await vm.stop();
    await following;
    const numbers = seen.map(({ text }) => Number(text.split(' ')[1]));
    assert.deepEqual(
      numbers,
      numbers.map((_, n) => (numbers[0] ?? 0) + n),
    );
  });

  test('is shut down with its VMM kept, and started again', async () => {
    await vm.start();
    await vm.files.writeFile('/root/kept', 'kept');
    assert.deepEqual(await vm.shutdown(), { changed: true, state: 'Shutdown' });
    assert.ok((await vm.refresh()).vmm);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.equal((await vm.files.readFile('/root/kept')).toString(), 'kept');
  });

  test('is stopped while it starts, and nothing of it is left', async () => {
    await vm.stop({ force: true });
    const starting = vm.start();
    await vm.waitFor('Initializing', { timeoutMs: 20_000 });
    const stopped = await vm.stop();
    assert.equal(stopped.state, 'Stopped');
    await assert.rejects(async () => await starting, { code: 'cancelled' });
    assert.deepEqual(await processesBelow(real.home), []);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    await vm.stop({ force: true });
  });

  test('ends by force when its entrypoint does not listen to SIGTERM', async () => {
    await using deaf = await real.engine.run('busybox', {
      cmd: ['sh', '-c', 'trap "" TERM; echo deaf; while :; do sleep 1; done'],
      stopTimeoutMs: 1000,
    });
    await until('the trap', async () => (await collect(deaf.logs())).some(({ text }) => text === 'deaf'));
    const began = Date.now();
    assert.deepEqual(await deaf.stop(), { changed: true, state: 'Stopped' });
    assert.ok(Date.now() - began < 6000, `${Date.now() - began} ms`);
    assert.match((await deaf.refresh()).exit?.reason ?? '', /^(stopped|killed)$/);
  });

  test('tells how its entrypoint ended', async () => {
    await using job = await real.engine.run('busybox', { cmd: ['sh', '-c', 'exit 42'] });
    await job.waitFor('Stopped');
    const { exit } = await job.refresh();
    assert.deepEqual([exit?.reason, exit?.code], ['exited', 42]);
    await using off = await real.engine.run('busybox', { cmd: ['sh', '-c', 'kill -9 $$'] });
    await off.waitFor('Stopped');
    assert.deepEqual([(await off.refresh()).exit?.code, off.info.exit?.reason], [137, 'exited']);
  });

  test('is refused where the command, its user or its directory is not in the image, and nothing is left', async () => {
    for (const [options, code] of [
      [{ cmd: ['/no/such'] }, 'command_not_found'],
      [{ cmd: ['/etc/passwd'] }, 'command_not_executable'],
      [{ cmd: ['sh'], user: 'nobodyatall' }, 'user_not_found'],
    ] as const) {
      await assert.rejects(
        async () => await real.engine.run('busybox', { ...options, cmd: [...options.cmd] }),
        {
          code,
        },
      );
    }
    const names = await readdir(path.join(real.home, 'instances'));
    assert.deepEqual(names, [vm.id]);
  });

  test('is refused with less memory than a kernel needs or more than the host has', async () => {
    for (const memory of ['16MB', '95MB', '100TB', -1, 1.5]) {
      await assert.rejects(async () => await real.engine.create({ image: 'busybox', memory }), {
        code: 'invalid_size',
      });
    }
    await using least = await real.engine.run('busybox', { memory: '96MB' });
    assert.equal((await least.exec(['echo', 'fits'])).stdout, 'fits\n');
  });
});

describe('VMs of a program that embeds the engine', () => {
  const program = (home: string) => `
    import { openEngine } from ${JSON.stringify(import.meta.resolve('@vivarium/engine'))};
    const engine = await openEngine({ home: ${JSON.stringify(home)} });
    await Promise.all([engine.run('busybox', { name: 'bound' }), engine.run('busybox', { name: 'free', detached: true })]);
    process.stdout.write('up\\n');
    setInterval(() => {}, 1000);`;

  test('end with it when it is killed, and detached ones are found running by the next', async () => {
    await using real = await RealEngine.open();
    await real.engine.close();
    const child: ChildProcess = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program(real.home)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    try {
      await once(child.stdout as NodeJS.ReadableStream, 'data');
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await until('one VM left', async () => (await processesBelow(real.home, 0)).length === 2);
    const engine = await real.reopen();
    const [bound, free] = [await engine.get('bound'), await engine.get('free')];
    assert.deepEqual([bound.info.state, bound.info.exit?.reason], ['Stopped', 'vmm_exited']);
    assert.equal(free.info.state, 'Running');
    assert.equal((await free.exec(['echo', 'still here'])).stdout, 'still here\n');
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
