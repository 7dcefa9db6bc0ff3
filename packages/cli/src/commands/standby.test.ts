import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { StandbyStatus } from '@vivarium/model';
import { FakeTerminal } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';
import { describeStandby } from './standby.ts';

test('standby sets what is said, leaves the rest, and tells what it comes to', async () => {
  const vivarium = new FakeVivarium().add(
    fakeInstance({ name: 'web', autoStandby: { enabled: false, ignoreDestinationPorts: [22] } }),
  );
  const terminal = () => new FakeTerminal({ vivarium, columns: 80 });
  const { status, stdout } = await terminal().run('standby', 'web', '--idle', '10m', '--wake', 'always');
  assert.equal(status, 0);
  assert.match(stdout, /^idle for 0 s, suspended in 600 s/);
  const { autoStandby, wake } = vivarium.instances.get('web') ?? {};
  assert.deepEqual(autoStandby, { enabled: true, ignoreDestinationPorts: [22], idleTimeoutMs: 600_000 });
  assert.equal(wake, 'always');
  await terminal().run('standby', 'web', '--off');
  assert.equal(vivarium.instances.get('web')?.autoStandby?.enabled, false);
  assert.equal((await terminal().run('standby', 'web', '--off', '--idle', '5')).status, 2);
});

test('standby says what keeps a VM awake', () => {
  const status: StandbyStatus = {
    supported: true,
    configured: true,
    enabled: true,
    eligible: true,
    status: 'active',
    reason: 'active_inbound_connections',
    connections: 2,
    uses: [
      { kind: 'exec', count: 1 },
      { kind: 'connection', count: 2 },
    ],
    wake: 'standby',
  };
  assert.equal(describeStandby(status), 'in use: exec, connection (2)');
});

test('resources are a table or JSON', async () => {
  const terminal = () => new FakeTerminal({ vivarium: new FakeVivarium(), columns: 100 });
  const { stdout } = await terminal().run('resources');
  assert.match(stdout, /memory \(by use\)\s+1GB\s+1GB\s+0B\s+1GB/);
  const vivarium = new FakeVivarium();
  vivarium.resources.limitKeepers = [
    { controller: 'cpu', by: 'cgroup-v2' },
    { controller: 'memory', by: 'none', why: 'it was not delegated' },
  ];
  const { stderr } = await new FakeTerminal({ vivarium, columns: 100 }).run('resources');
  assert.equal(stderr, 'viv: no limit of memory is kept on this host: it was not delegated\n');
  assert.equal(JSON.parse((await terminal().run('resources', '--json')).stdout).cpu.capacity, 2);
});

test('the configuration is shown and checked without a daemon', async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'viv-cli-config-'));
  try {
    const terminal = () =>
      new FakeTerminal({ vivarium: new FakeVivarium(), env: { ...process.env, VIV_HOME: home } });
    assert.equal((await terminal().run('config', 'path')).stdout, `${path.join(home, 'config.json')}\n`);
    const shown = JSON.parse((await terminal().run('config', 'show', '--json')).stdout);
    assert.equal(shown['resources.preset'], 'vivarium');
    writeFileSync(path.join(home, 'config.json'), '{"resources":{"cpus":1}}');
    assert.equal((await terminal().run('config', 'check')).status, 2);
  } finally {
    rmSync(home, { recursive: true });
  }
});
