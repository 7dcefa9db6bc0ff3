import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import Hypeman from '@onkernel/hypeman';
import { cpFromInstance, cpToInstance } from '@onkernel/hypeman/lib/cp';
import { until } from '../engine/real-engine.ts';
import { type CountingProxy, countingProxy } from './counting-proxy.ts';
import { hypemanExec } from './hypeman-exec.ts';
import { RealDaemon } from './real-daemon.ts';

/* hypeman's official client, unmodified and as its users configure it, against a vivd with real VMs, over TCP with a token. */

const token = 'a-token-of-this-test';
const image = 'docker.io/library/busybox:latest';
const counting = 'i=0; while :; do i=$((i+1)); echo $i > /tmp/now; echo tick $i; sleep 0.1; done';

describe('hypeman’s official client', () => {
  let daemon: RealDaemon;
  let proxy: CountingProxy;
  let client: Hypeman;
  let id: string;

  before(async () => {
    daemon = await RealDaemon.start({ token });
    proxy = await countingProxy(await daemon.url());
    client = new Hypeman({ baseURL: proxy.url, apiKey: token });
  });
  after(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  const exec = async (instance: string, ...command: string[]) =>
    (await hypemanExec({ url: proxy.url, token }, instance, command)).result;
  const now = async (instance: string) => Number((await exec(instance, 'cat', '/tmp/now')).output);

  test('sees that the server is there, and what it can', async () => {
    assert.equal((await client.health.check()).status, 'ok');
    const capabilities = await client.capabilities.get();
    assert.equal(capabilities.default_runtime.name, 'qemu');
    for (const feature of ['exec', 'standby', 'snapshots', 'fork'])
      assert.ok(capabilities.runtimes[0]?.features.includes(feature), feature);
  });

  test('pulls, finds, names and removes images', async () => {
    await client.images.create({ name: 'busybox', tags: { team: 'be' } });
    await until('the image is ready', async () => (await client.images.get('busybox')).status === 'ready');
    const found = await client.images.get(image);
    assert.deepEqual([found.name, found.tags], [image, { team: 'be' }]);
    assert.deepEqual(
      (await client.images.list({ tags: { team: 'be' } })).map(({ digest }) => digest),
      [found.digest],
    );
    assert.deepEqual(await client.images.list({ tags: { team: 'fe' } }), []);
    const tagged = await client.images.tag(image, { target: 'registry.test/app:2' });
    assert.equal(tagged.digest, found.digest);
    await client.images.delete('registry.test/app:2');
    await assert.rejects(client.images.get('registry.test/app:2'), Hypeman.NotFoundError);
  });

  test('creates an instance, and sees what it is and does', async () => {
    const made = await client.instances.create({
      name: 'life',
      image: 'busybox',
      cmd: ['sh', '-c', counting],
      env: { COLOUR: 'blue' },
      tags: { team: 'be' },
    });
    ({ id } = made);
    assert.deepEqual(
      [made.name, made.image, made.state, made.has_snapshot, made.hypervisor, made.expires_at],
      ['life', image, 'Running', false, 'qemu', null],
    );
    assert.deepEqual([made.env?.COLOUR, made.tags], ['blue', { team: 'be' }]);
    assert.match(made.network?.ip ?? '', /^\d+\.\d+\.\d+\.\d+$/);
    for (const name of [id, 'life', id.slice(0, 8)]) assert.equal((await client.instances.get(name)).id, id);
    const listed = async (query: Parameters<typeof client.instances.list>[0]) =>
      (await client.instances.list(query)).map((instance) => instance.id);
    assert.deepEqual(await listed({ state: 'Running', tags: { team: 'be' } }), [id]);
    assert.deepEqual(await listed({ state: 'Standby' }), []);
    const waited = await client.instances.wait(id, { state: 'Running', timeout: '10s' });
    assert.deepEqual([waited.state, waited.timed_out], ['Running', false]);
    const never = await client.instances.wait(id, { state: 'Stopped', timeout: '50ms' });
    assert.deepEqual([never.state, never.timed_out], ['Running', true]);
  });

  test('reads logs, also as they come, and statistics', async () => {
    await until('there are logs', async () => (await now(id)) > 2);
    const seen: string[] = [];
    const stream = await client.instances.logs(id, { follow: true, tail: 2, source: 'app' });
    for await (const line of stream) if (seen.push(line) === 5) break;
    const first = Number(seen[0]?.split(' ')[1]);
    assert.deepEqual(
      seen,
      [0, 1, 2, 3, 4].map((n) => `tick ${first + n}`),
    );
    for (const source of ['vmm', 'hypeman'] as const) {
      for await (const line of await client.instances.logs(id, { source }))
        assert.equal(typeof line, 'string');
    }
    const stats = await client.instances.stats(id);
    assert.equal(stats.instance_name, 'life');
    assert.ok(stats.cpu_seconds > 0 && stats.memory_rss_bytes > 0);
    const file = await client.instances.stat(id, { path: '/tmp/now' });
    assert.deepEqual([file.exists, file.is_file, file.is_dir], [true, true, false]);
    assert.equal((await client.instances.stat(id, { path: '/nowhere' })).exists, false);
  });

  test('copies files and trees both ways with its own WebSocket calls', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'hm-'));
    try {
      await mkdir(path.join(dir, 'in/sub'), { recursive: true });
      await writeFile(path.join(dir, 'in/script'), '#!/bin/sh\necho hi\n', { mode: 0o755 });
      await writeFile(path.join(dir, 'in/sub/blob'), Buffer.alloc(300_000, 'blob of bytes '));
      const config = { baseURL: proxy.url, apiKey: token };
      await cpToInstance(config, { instanceId: id, srcPath: path.join(dir, 'in'), dstPath: '/srv-copy' });
      assert.equal((await exec(id, '/srv-copy/script')).output, 'hi\n');
      await exec(id, 'ln', '-s', 'script', '/srv-copy/link');
      await cpFromInstance(config, { instanceId: id, srcPath: '/srv-copy', dstPath: path.join(dir, 'out') });
      for (const name of ['script', 'sub/blob', 'link']) {
        assert.deepEqual(
          await readFile(path.join(dir, 'out', name)),
          await readFile(path.join(dir, 'in', name === 'link' ? 'script' : name)),
        );
      }
      assert.equal((await stat(path.join(dir, 'out/script'))).mode & 0o777, 0o755);
      await assert.rejects(
        cpFromInstance(config, { instanceId: id, srcPath: '/nowhere', dstPath: dir }),
        /nowhere/,
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('hears of failures as its own typed errors, each from one request', async () => {
    const one = async (
      call: () => Promise<unknown>,
      type: abstract new (...args: never[]) => InstanceType<typeof Hypeman.APIError>,
      code: string,
      status: number,
    ) => {
      proxy.taken();
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof type, String(error));
        assert.equal(error.status, status);
        assert.equal((error.error as { code: string }).code, code);
        return true;
      });
      const requests = proxy.taken();
      assert.equal(requests.length, 1, requests.join(', '));
    };
    const { instances } = client;
    await one(() => instances.get('absent'), Hypeman.NotFoundError, 'not_found', 404);
    await one(
      () => instances.create({ name: 'life', image: 'busybox' }),
      Hypeman.ConflictError,
      'name_conflict',
      409,
    );
    await one(
      () => instances.create({ name: 'Bad Name', image: 'busybox' }),
      Hypeman.BadRequestError,
      'invalid_name',
      400,
    );
    await one(() => instances.fork(id, { name: 'no' }), Hypeman.ConflictError, 'invalid_state', 409);
    await one(() => instances.start(id, { cmd: ['x'] }), Hypeman.ConflictError, 'invalid_state', 409);
    await one(
      () => instances.create({ name: 'no', image: 'busybox', cmd: ['/nope'] }),
      Hypeman.UnprocessableEntityError,
      'command_not_found',
      422,
    );
    await one(() => client.images.delete(image), Hypeman.ConflictError, 'conflict', 409);
    await one(() => client.ingresses.list(), Hypeman.InternalServerError, 'not_supported', 501);
    await one(
      () => instances.standby(id, { compression: { enabled: true } }),
      Hypeman.InternalServerError,
      'not_supported',
      501,
    );
    const stranger = new Hypeman({ baseURL: proxy.url, apiKey: 'another' });
    await one(() => stranger.instances.list(), Hypeman.AuthenticationError, 'unauthorized', 401);
    assert.deepEqual(
      (await instances.list()).map(({ name }) => name),
      ['life'],
    );
  });

  test('puts an instance to standby and restores it where it was', async () => {
    const before = await now(id);
    const saved = await client.instances.standby(id);
    assert.deepEqual([saved.state, saved.has_snapshot], ['Standby', true]);
    assert.equal((await client.instances.standby(id)).state, 'Standby');
    await assert.rejects(client.instances.stat(id, { path: '/' }), Hypeman.ConflictError);
    const back = await client.instances.restore(id);
    assert.deepEqual([back.state, back.has_snapshot], ['Running', false]);
    await until('the counter goes on', async () => (await now(id)) > before);
    const { output } = await exec(id, 'cat', '/proc/uptime');
    assert.ok(Number(output.split(' ')[0]) > 0);
  });

  test('forks one that runs, and one that is in standby', async () => {
    const before = await now(id);
    const twin = await client.instances.fork(id, { name: 'twin', from_running: true });
    assert.deepEqual([twin.name, twin.state], ['twin', 'Running']);
    assert.notEqual(twin.network?.mac, (await client.instances.get(id)).network?.mac);
    assert.ok((await now('twin')) >= before);
    assert.equal((await exec('twin', 'hostname')).output, 'twin\n');
    await client.instances.standby('twin');
    const third = await client.instances.fork('twin', { name: 'third', target_state: 'Stopped' });
    assert.equal(third.state, 'Stopped');
    for (const name of ['twin', 'third']) await client.instances.delete(name);
  });

  test('keeps, lists, forks, restores and removes snapshots', async () => {
    await exec(id, 'sh', '-c', 'echo kept > /tmp/mark');
    const kept = await client.instances.snapshots.create(id, {
      kind: 'Standby',
      name: 'kept',
      tags: { why: 'test' },
    });
    assert.deepEqual(
      [kept.kind, kept.name, kept.source_instance_id, kept.source_hypervisor, kept.tags],
      ['Standby', 'kept', id, 'qemu', { why: 'test' }],
    );
    assert.ok(kept.size_bytes > 0);
    assert.deepEqual(
      (await client.snapshots.list({ source_instance_id: id, tags: { why: 'test' } })).map((s) => s.id),
      [kept.id],
    );
    assert.equal((await client.snapshots.get(kept.id)).name, 'kept');
    const copy = await client.snapshots.fork(kept.id, { name: 'copy', target_state: 'Running' });
    assert.equal((await exec(copy.id, 'cat', '/tmp/mark')).output, 'kept\n');
    await client.instances.delete(copy.id);
    await exec(id, 'sh', '-c', 'echo lost > /tmp/mark');
    await assert.rejects(client.instances.snapshots.restore(kept.id, { id }), Hypeman.ConflictError);
    assert.equal((await client.instances.stop(id)).state, 'Stopped');
    const back = await client.instances.snapshots.restore(kept.id, { id, target_state: 'Running' });
    assert.equal(back.state, 'Running');
    assert.equal((await exec(id, 'cat', '/tmp/mark')).output, 'kept\n');
    await client.snapshots.delete(kept.id);
    await assert.rejects(client.snapshots.get(kept.id), Hypeman.NotFoundError);
  });

  test('sets, shows and removes a snapshot schedule', async () => {
    const { snapshotSchedule } = client.instances;
    await assert.rejects(snapshotSchedule.get(id), Hypeman.NotFoundError);
    const retention = { max_count: 3, max_age: '24h' };
    const set = await snapshotSchedule.update(id, { interval: '15m', retention, metadata: { a: 'b' } });
    assert.deepEqual([set.instance_id, set.metadata, set.last_run_at], [id, { a: 'b' }, null]);
    assert.equal(set.retention.max_count, 3);
    assert.deepEqual(await snapshotSchedule.get(id), set);
    await assert.rejects(snapshotSchedule.update(id, { interval: '5s', retention }), Hypeman.BadRequestError);
    await snapshotSchedule.delete(id);
    await assert.rejects(snapshotSchedule.get(id), Hypeman.NotFoundError);
  });

  test('stops, starts and deletes it', async () => {
    assert.equal((await client.instances.stop(id)).state, 'Stopped');
    const stopped = await client.instances.get(id);
    assert.ok(stopped.stopped_at);
    assert.equal((await client.instances.start(id, {})).state, 'Running');
    assert.equal(await client.instances.delete(id, { graceful_shutdown: true }), null);
    await assert.rejects(client.instances.get(id), Hypeman.NotFoundError);
    assert.deepEqual(await client.instances.list(), []);
  });
});
