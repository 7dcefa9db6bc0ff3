import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { HealthCheck, InstanceEvent, Vm } from '@vivarium/model';
import { until } from '../engine/real-engine.ts';
import { RealDaemon } from './real-daemon.ts';

/** Fails at its first two starts, and then stays. */
const shy =
  'n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) >/n; sync; [ $n -ge 2 ] || exit 1; exec sleep 100000';

describe('real VMs that nobody watches', () => {
  let daemon: RealDaemon;
  before(async () => {
    daemon = await RealDaemon.start();
  });
  after(() => daemon[Symbol.asyncDispose]());

  async function happened(vm: Vm, type: string, times = 1, since = 0): Promise<InstanceEvent> {
    let seen = 0;
    const signal = AbortSignal.timeout(60_000);
    for await (const event of daemon.viv.events({ since, instance: vm.id, signal }))
      if (event.type === type && ++seen === times) return event;
    return assert.fail(`${type} has not happened ${times} times`);
  }

  test('a workload that fails twice and then stays is restarted twice', async () => {
    await using vm = await daemon.viv.run('busybox', {
      cmd: ['sh', '-c', shy],
      restartPolicy: { policy: 'on_failure', backoffMs: 100 },
    });
    await happened(vm, 'restart', 2);
    await until('it is up for the third time', async () => {
      const info = await vm.refresh();
      return info.generation === 3 && info.state === 'Running';
    });
    await until('its third start', async () => (await vm.exec(['cat', '/n'])).stdout === '3\n');
    assert.equal(vm.info.restart?.attempts, 2);

    // Its VMM dies while no daemon is there: the next one starts it again.
    const { vmm } = await daemon.pids(vm.id);
    await daemon.kill();
    process.kill(vmm, 'SIGKILL');
    await daemon.start();
    await until('it is up for the fourth time', async () => {
      const info = await vm.refresh();
      return info.generation === 4 && info.state === 'Running';
    });
    await vm.stop();
    assert.equal((await vm.refresh()).restart?.blockedReason, 'manual_stop');
  });

  test('a health check of each kind tells a server that answers from one that does not', async () => {
    await using vm = await daemon.viv.run('busybox', {
      network: 'none',
      cmd: ['sh', '-c', 'ip link set lo up; echo hi >/tmp/index.html; exec httpd -f -p 8080 -h /tmp'],
    });
    const times = { intervalMs: 100, timeoutMs: 10_000, startPeriodMs: 0, failureThreshold: 1 };
    const checks: Record<string, [HealthCheck, HealthCheck]> = {
      http: [
        { type: 'http', http: { port: 8080 } },
        { type: 'http', http: { port: 8080, path: '/absent' } },
      ],
      tcp: [
        { type: 'tcp', tcp: { port: 8080 } },
        { type: 'tcp', tcp: { port: 8081 } },
      ],
      exec: [
        { type: 'exec', exec: { command: ['test', '-e', 'index.html'], workingDir: '/tmp' } },
        { type: 'exec', exec: { command: ['test', '-e', '/absent'] } },
      ],
    };
    for (const [kind, [well, sick]] of Object.entries(checks)) {
      await vm.update({ healthCheck: { ...well, ...times } });
      await vm.waitForHealth('healthy');
      await vm.update({ healthCheck: { ...sick, ...times } });
      const { health } = await vm.waitForHealth('unhealthy');
      assert.ok(health?.lastError, kind);
      assert.equal(vm.info.state, 'Running', kind);
    }
    assert.match(vm.info.health?.lastError ?? '', /exited with 1/);

    // One that hangs leaves nothing behind in the guest.
    const hangs: HealthCheck = {
      type: 'exec',
      exec: { command: ['sh', '-c', 'sleep 54321 & sleep 54321'] },
    };
    await vm.update({
      healthCheck: { ...hangs, ...times, timeoutMs: 1000, intervalMs: 100, failureThreshold: 2 },
    });
    const { health } = await vm.waitForHealth('unhealthy');
    assert.match(health?.lastError ?? '', /no answer within 1000 ms/);
    await vm.update({ healthCheck: { type: 'none' } });
    await until('nothing of the checks is left', async () => {
      const { stdout } = await vm.exec(['ps']);
      return !stdout.includes('sleep 54321');
    });
  });

  test('one that has expired is gone with its processes and its disk', async () => {
    const vm = await daemon.viv.run('busybox');
    const pid = vm.info.vmm?.pid ?? 0;
    await vm.update({ ttlMs: 1000 });
    await happened(vm, 'deleted');
    assert.throws(() => process.kill(pid, 0));
    assert.ok(!readdirSync(path.join(daemon.home, 'instances')).includes(vm.id));
  });

  test('a log that floods is rotated, and whoever follows it gets each line once', async () => {
    const last = 60_000;
    const maxBytes = 65_536;
    await using vm = await daemon.viv.create({
      image: 'busybox',
      cmd: ['sh', '-c', `seq 1 ${last}; exec sleep 100000`],
      logs: { maxBytes, keep: 100 },
    });
    await vm.start();
    let next = 1;
    for await (const { text } of vm.logs({ follow: true, signal: AbortSignal.timeout(120_000) })) {
      assert.equal(text, String(next));
      next += 1;
      if (next > last) break;
    }
    assert.equal(next, last + 1);
    const dir = path.join(daemon.home, 'instances', vm.id);
    const files = readdirSync(dir).filter((name) => name.startsWith('app.log'));
    assert.ok(files.length > 10, files.join(' '));
    for (const file of files) assert.ok(statSync(path.join(dir, file)).size <= maxBytes + 4096, file);
  });
});
