import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { type Engine, openEngine } from '@vivarium/engine';
import { QmpClient } from '../../packages/engine/src/drivers/qemu/qmp.ts';
import { ShimClient } from '../../packages/engine/src/drivers/qemu/shim-client.ts';
import { until } from './real-engine.ts';

/** `kill -9` of a daemon while the source of a fork stands still. */
describe('a guest whose daemon is killed in the middle of its pause', () => {
  let home: string;
  let id: string;
  let engine: Engine | undefined;
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'viv-'));
    const script = path.join(import.meta.dirname, 'fork-that-hangs.ts');
    const daemon = spawn(process.execPath, [script, home], { stdio: ['ignore', 'pipe', 'inherit'] });
    [id] = (await once(createInterface(daemon.stdout), 'line')) as [string];
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  });
  after(async () => {
    engine ??= await openEngine({ home, mode: 'daemon' });
    for await (const vm of engine.all()) await (await engine.get(vm.id)).delete({ force: true });
    await engine.close();
    await rm(home, { recursive: true, force: true });
  });

  const dir = () => path.join(home, 'instances', id);

  test('is let run again by its shim, without any other daemon', async () => {
    const qmp = await QmpClient.connect(dir(), 'qmp.sock');
    try {
      await until('the vCPUs run', async () => {
        const { status } = (await qmp.execute('query-status')) as { status: string };
        return status === 'running';
      });
    } finally {
      qmp.close();
    }
  });

  test('has its workloads let go by the next daemon, and can be forked', async () => {
    engine = await openEngine({ home, mode: 'daemon', templates: { backgroundDelayMs: 600_000 } });
    const vm = await engine.get(id);
    assert.equal(vm.info.state, 'Running');
    const count = async () => Number((await vm.exec(['cat', '/count'])).stdout);
    const known = await count();
    await until('it counts on', async () => (await count()) > known);
    const [copy] = await vm.fork({ state: 'stopped' });
    await copy?.delete();
    assert.deepEqual(await readdir(path.join(home, 'captures')), []);
  });

  test('runs again also where a daemon holds its monitor and does not move', async () => {
    await engine?.close();
    engine = undefined;
    const qmp = await QmpClient.connect(dir(), 'qmp.sock');
    const shim = await ShimClient.connect(dir());
    try {
      await shim.request('guard', { seconds: 1, socket: 'guard.sock' });
      await qmp.execute('stop');
      assert.ok(await qmp.waitFor('RESUME', 20_000));
      await assert.rejects(shim.request('guard_release'), { code: 'conflict' });
    } finally {
      shim.close();
      qmp.close();
    }
  });
});
