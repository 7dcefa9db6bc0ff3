import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Vm } from '@vivarium/model';
import { until } from '../engine/real-engine.ts';
import { RealDaemon } from './real-daemon.ts';

const counting =
  'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; echo e$i >&2; usleep 10000; done; exit 5';

describe('VMs of a daemon that goes and comes', () => {
  let daemon: RealDaemon;
  let vm: Vm;
  before(async () => {
    daemon = await RealDaemon.start();
    vm = await daemon.viv.run('busybox', { name: 'steady', ports: [{ guestPort: 80 }] });
  });
  after(() => daemon[Symbol.asyncDispose]());

  test('are found again with the same processes, ports and time of their start', async () => {
    const before = await vm.refresh();
    const pids = await daemon.pids(vm.id);
    for (const end of ['kill', 'stop'] as const) {
      await daemon[end]();
      await daemon.start();
      const now = await vm.refresh();
      assert.deepEqual({ ...now, operation: undefined }, { ...before, operation: undefined });
      assert.deepEqual(await daemon.pids(vm.id), pids);
      assert.equal((await vm.exec(['echo', 'here'])).stdout, 'here\n');
    }
  });

  test('go on with commands whose output is neither lost nor doubled', async () => {
    const running = vm.exec(['sh', '-c', counting]);
    const seen = { stdout: '', stderr: '' };
    let kills = 0;
    for await (const { stream, data } of running) {
      seen[stream] += Buffer.from(data).toString();
      if (seen.stdout.split('\n').length > 60 * (kills + 1) && kills < 4) {
        kills += 1;
        await daemon.kill();
        await daemon.start();
      }
    }
    const numbers = Array.from({ length: 400 }, (_, n) => n + 1);
    assert.equal(seen.stdout, numbers.map((n) => `${n}\n`).join(''));
    assert.equal(seen.stderr, numbers.map((n) => `e${n}\n`).join(''));
    assert.equal((await running).exitCode, 5);
    assert.equal(kills, 4);
  });

  test('go on reading the stdin of commands where they were', async () => {
    const input = randomBytes(6 << 20);
    async function* pieces() {
      for (let at = 0; at < input.length; at += 65_536) {
        yield input.subarray(at, at + 65_536);
        if (at === 32 * 65_536 || at === 64 * 65_536) {
          await daemon.kill();
          await daemon.start();
        }
      }
    }
    const { stdout } = await vm.exec(['md5sum'], { stdin: pieces() });
    assert.equal(stdout.split(' ')[0], createHash('md5').update(input).digest('hex'));
  });

  test('cost the host next to nothing while nobody talks to them', async () => {
    const { vmm } = await daemon.pids(vm.id);
    const ticks = async () => {
      const fields = (await readFile(`/proc/${vmm}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
      return Number(fields[11]) + Number(fields[12]);
    };
    await daemon.kill();
    const before = await ticks();
    await delay(2000);
    const percent = ((await ticks()) - before) / 2;
    await daemon.start();
    assert.ok(percent < 25, `${percent} % of a CPU`);
  });

  test('take their commands along when they die, and whoever waits for those hears of it', async () => {
    const doomed = await daemon.viv.run('busybox', { name: 'doomed' });
    const waiting = doomed.exec(['sleep', '1000']);
    const streaming = doomed.exec(['yes']);
    const output = streaming[Symbol.asyncIterator]();
    await Promise.all([waiting.id, output.next()]);
    const { vmm } = await daemon.pids(doomed.id);
    const heard = Promise.all([
      assert.rejects(waiting.orThrow(), { code: 'invalid_state' }),
      assert.rejects(
        async () => {
          while (!(await output.next()).done);
        },
        { code: 'invalid_state' },
      ),
    ]);
    const began = performance.now();
    process.kill(vmm, 'SIGKILL');
    await heard;
    assert.ok(performance.now() - began < 5000, `${performance.now() - began} ms`);
    await doomed.delete();
  });

  test('that ended while there was no daemon are Stopped, with the reason', async () => {
    const other = await daemon.viv.run('busybox', { cmd: ['sleep', '1000'] });
    const { vmm } = await daemon.pids(other.id);
    await daemon.kill();
    process.kill(vmm, 'SIGKILL');
    await daemon.start();
    const info = await other.refresh();
    assert.deepEqual(
      [info.state, info.exit?.reason, info.exit?.vmm],
      ['Stopped', 'vmm_exited', { signal: 'SIGKILL' }],
    );
    await other.delete();
  });

  test('whose entrypoint ended while there was no daemon have its exit code', async () => {
    const job = await daemon.viv.run('busybox', {
      // Whoever made the file has heard so by the time that this ends.
      cmd: ['sh', '-c', 'while ! [ -e /go ]; do usleep 50000; done; sleep 1; exit 6'],
    });
    await job.files.writeFile('/later', '');
    const trigger = job.exec(['sh', '-c', 'mv /later /go']);
    await trigger;
    await daemon.kill();
    const files = () => readdir(daemon.instanceDir(job.id));
    await until('the end of the VM', async () => (await files()).includes('exit.json'));
    await daemon.start();
    await job.waitFor('Stopped');
    const { exit } = await job.refresh();
    assert.deepEqual([exit?.reason, exit?.code], ['exited', 6]);
    await job.delete();
  });

  test('are brought back by doctor --rebuild when the database is lost, running ones as running', async () => {
    await using stopped = await daemon.viv.create({ image: 'busybox', name: 'resting' });
    const pids = await daemon.pids(vm.id);
    await daemon.kill();
    for (const name of await readdir(daemon.home)) {
      if (name.startsWith('vivarium.db')) await rm(path.join(daemon.home, name));
    }
    await daemon.start();
    assert.deepEqual((await daemon.viv.list()).items, []);
    const report = await daemon.viv.doctor({ rebuild: true });
    assert.ok(report.ok);
    assert.deepEqual((await daemon.viv.list()).items.map(({ name, state }) => `${name} ${state}`).sort(), [
      'resting Stopped',
      'steady Running',
    ]);
    assert.deepEqual(await daemon.pids(vm.id), pids);
    assert.equal((await vm.exec(['echo', 'mine'])).stdout, 'mine\n');
    await stopped.start();
    await stopped.stop();
  });

  test('have names of which two creates at once get one', async () => {
    const both = await Promise.allSettled(
      [1, 2, 3].map(async () => await daemon.viv.create({ image: 'busybox', name: 'only-one' })),
    );
    const refused = both.filter((outcome) => outcome.status === 'rejected');
    assert.deepEqual(
      refused.map(({ reason }) => reason.code),
      ['name_conflict', 'name_conflict'],
    );
    await (await daemon.viv.get('only-one')).delete();
  });

  test('do not feed a daemon more than it can hold, however much they print to nobody', async () => {
    const flood = vm.exec(['yes', 'x'.repeat(1000)]);
    const output = flood[Symbol.asyncIterator]();
    await output.next();
    const rss = async () =>
      Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]) * 1024;
    const before = await rss();
    for (let n = 0; n < 20; n++) {
      await delay(50);
      assert.ok((await rss()) - before < 64 * 2 ** 20);
    }
    await output.return?.();
  });
});
