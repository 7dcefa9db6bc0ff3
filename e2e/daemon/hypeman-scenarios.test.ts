import assert from 'node:assert/strict';
import { lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import Hypeman from '@onkernel/hypeman';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import { processesBelow, until } from '../engine/real-engine.ts';
import { startRegistry } from '../registry.ts';
import { countingProxy } from './counting-proxy.ts';
import { type HypemanDaemon, hypemanDaemon } from './hypeman-daemon.ts';
import { hypemanExec } from './hypeman-exec.ts';

/* Scenarios that hypeman is known by, with its official client and real VMs; those with volumes lie elsewhere. */

const sleeping = ['sleep', '100000'];

describe('the scenario', () => {
  let vivd: HypemanDaemon;
  let client: Hypeman;
  before(async () => {
    vivd = await hypemanDaemon();
    ({ client } = vivd);
  });
  afterEach(async () => {
    for (const { id } of await client.instances.list()) await client.instances.delete(id);
  });
  after(() => vivd?.[Symbol.asyncDispose]());

  const create = (name: string, cmd = sleeping) => client.instances.create({ name, image: 'busybox', cmd });
  const exec = (instance: string, ...command: string[]) => hypemanExec(vivd, instance, command);
  const names = async () => (await client.instances.list()).map(({ name }) => name).sort();

  test('1: a start of one that runs changes nothing and is no event, and with a command is refused', async () => {
    const { id } = await create('one');
    assert.equal((await client.instances.start(id, {})).state, 'Running');
    await assert.rejects(client.instances.start(id, { cmd: ['x'] }), Hypeman.ConflictError);
    const vm = await vivd.daemon.viv.get(id);
    await vm.pause();
    const states: unknown[] = [];
    let starts = 0;
    for await (const { type, data } of vivd.daemon.viv.events({ instance: id, since: 0 })) {
      if (type === 'state') states.push(data.to);
      if (type === 'operation' && data.action === 'start' && data.outcome === 'begun') starts += 1;
      if (states.at(-1) === 'Paused') break;
    }
    assert.equal(states.filter((state) => state === 'Running').length, 1, states.join(' '));
    assert.deepEqual([starts, states.slice(-2)], [1, ['Running', 'Paused']]);
  });

  test('2: an image that is missing at ten creates at a time is pulled once', async () => {
    await using registry = await startRegistry();
    await using counted = await countingProxy(`http://${registry.host}`);
    const archive = (await loadAssets()).images['docker.io/library/busybox:latest'];
    await registry.push(archive?.path ?? '', 'team/app:1');
    const image = `${counted.host}/team/app:1`;
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        client.instances.create({ name: `ten-${n}`, image, cmd: sleeping, size: '128MB' }),
      ),
    );
    assert.deepEqual(
      made.map(({ state, image: of }) => [state, of]),
      made.map(() => ['Running', image]),
    );
    const blobs = counted.taken().filter((line) => line.startsWith('GET') && line.includes('/blobs/'));
    assert.ok(blobs.length > 0);
    assert.deepEqual(blobs, [...new Set(blobs)]);
    await Promise.all(made.map(({ id }) => client.instances.delete(id)));
    assert.deepEqual(await names(), []);
  });

  test('4: memory is intact after standby and restore: a counter in it goes on', async () => {
    const { id } = await create('four', [
      'sh',
      '-c',
      'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done',
    ]);
    const last = async () => {
      let line = '0';
      for await (const next of await client.instances.logs(id, { tail: 1 })) line = next;
      return Number(line);
    };
    await until('it counts', async () => (await last()) > 3);
    assert.equal((await client.instances.standby(id)).has_snapshot, true);
    const saved = await last();
    await client.instances.restore(id);
    await until('it counts on', async () => (await last()) > saved + 3);
    const lines: number[] = [];
    for await (const line of await client.instances.logs(id, { tail: 100_000 })) lines.push(Number(line));
    assert.deepEqual(
      lines,
      lines.map((_, n) => n + 1),
    );
  });

  test('5: of five workers with 25 write and read execs each none fails', async () => {
    const { id } = await create('five');
    const work = async (worker: number) => {
      for (let n = 0; n < 25; n++) {
        const file = `/tmp/w${worker}-${n}`;
        const wrote = await (await exec(id, 'sh', '-c', `echo ${worker}.${n} > ${file}`)).result;
        const read = await (await exec(id, 'cat', file)).result;
        assert.deepEqual([wrote.exitCode, read], [0, { exitCode: 0, output: `${worker}.${n}\n` }]);
      }
    };
    await Promise.all([0, 1, 2, 3, 4].map(work));
  });

  test('6: the process of an exec whose client disconnects is gone', async () => {
    const { id } = await create('six');
    const runs = async () =>
      (await (await exec(id, 'sh', '-c', 'ps | grep -c "[s]leep 4242"')).result).output.trim();
    const { socket } = await exec(id, 'sh', '-c', 'sleep 4242 & sleep 4242');
    await until('both run', async () => Number(await runs()) >= 2);
    socket.terminate();
    await until('they are gone', async () => (await runs()) === '0');
  });

  test('7: a file and a tree that were copied in and out are identical', async () => {
    const { id } = await create('seven');
    const dir = await mkdtemp(path.join(tmpdir(), 'hm-'));
    try {
      const tree = path.join(dir, 'tree');
      await mkdir(path.join(tree, 'empty'), { recursive: true });
      await writeFile(path.join(tree, 'tool'), 'all of it', { mode: 0o750 });
      await symlink('tool', path.join(tree, 'to-tool'));
      const then = new Date('2024-03-04T05:06:07Z');
      await utimes(path.join(tree, 'tool'), then, then);
      const { files } = await vivd.daemon.viv.get(id);
      await files.copyIn(tree, '/root/tree');
      await files.copyOut('/root/tree', path.join(dir, 'back'));
      await files.copyIn(path.join(tree, 'tool'), '/root/alone');
      await files.copyOut('/root/alone', path.join(dir, 'alone'));
      for (const file of ['back/tool', 'alone']) {
        const found = await lstat(path.join(dir, file));
        assert.deepEqual([found.mode & 0o7777, found.mtimeMs], [0o750, then.getTime()]);
        assert.equal(await readFile(path.join(dir, file), 'utf8'), 'all of it');
      }
      assert.equal(await readlink(path.join(dir, 'back/to-tool')), 'tool');
      assert.ok((await lstat(path.join(dir, 'back/empty'))).isDirectory());
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('11: a fork whose target state can’t be reached leaves only the source', async () => {
    const vm = await vivd.daemon.viv.create({ image: 'busybox', name: 'eleven', cmd: ['/nope'] });
    await assert.rejects(
      client.instances.fork(vm.id, { name: 'twelve', target_state: 'Running' }),
      Hypeman.UnprocessableEntityError,
    );
    assert.deepEqual(await names(), ['eleven']);
    assert.equal((await client.instances.get(vm.id)).state, 'Stopped');
  });

  test('12: on_failure restarts what exits with 1 and not with 0, gives up when it may, and leaves a stop alone', async () => {
    const restart_policy = { policy: 'on_failure' as const, backoff: '100ms', max_attempts: 1 };
    const failing = await client.instances.create({
      name: 'failing',
      image: 'busybox',
      cmd: ['sh', '-c', 'exit 1'],
      restart_policy,
    });
    assert.deepEqual(failing.restart_policy, { ...restart_policy, stable_after: '10m0s' });
    await until('it was given up', async () => {
      const { restart_status } = await client.instances.get('failing');
      return restart_status?.blocked_reason === 'max_attempts_exceeded';
    });
    const { restart_status, exit_code } = await client.instances.get('failing');
    assert.deepEqual([restart_status?.attempts, exit_code], [1, 1]);

    await client.instances.create({ name: 'done', image: 'busybox', cmd: ['true'], restart_policy });
    await client.instances.wait('done', { state: 'Stopped' });
    const held = await client.instances.create({ name: 'held', image: 'busybox', cmd: sleeping, ttl: '1h' });
    const updated = await client.instances.update(held.id, {
      restart_policy: { policy: 'always' },
      ttl: '2h',
    });
    assert.ok(Date.parse(updated.expires_at ?? '') > Date.parse(held.expires_at ?? ''));
    const stopped = await client.instances.stop(held.id);
    assert.equal(stopped.restart_status?.blocked_reason, 'manual_stop');
    // Had one of them been due, it would have been started by now: each was down before this one was.
    const later = await client.instances.create({
      name: 'later',
      image: 'busybox',
      cmd: sleeping,
      health_check: { type: 'exec', exec: { command: ['true'] }, interval: '200ms' },
    });
    await until('it is healthy', async () => {
      const { health_status } = await client.instances.get(later.id);
      return health_status?.status === 'healthy';
    });
    for (const name of ['done', 'held', 'failing'])
      assert.equal((await client.instances.get(name)).state, 'Stopped', name);
  });

  test('13: a delete works though the VMM lets go of nothing any more', async () => {
    const { id } = await create('thirteen');
    const { vmm } = await vivd.daemon.pids(id);
    process.kill(vmm, 'SIGSTOP');
    await client.instances.delete(id);
    await assert.rejects(client.instances.get(id), Hypeman.NotFoundError);
    assert.deepEqual(await processesBelow(vivd.daemon.home), []);
  });

  test('14: two deletes, two creates of one name, a stop in a start: one winner, nothing left, nobody stuck', async () => {
    const made = await Promise.allSettled([create('same'), create('same')]);
    assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const loser = made.find((result) => result.status === 'rejected')?.reason;
    assert.ok(loser instanceof Hypeman.ConflictError, String(loser));
    assert.equal((loser.error as { code: string }).code, 'name_conflict');
    assert.deepEqual(await names(), ['same']);
    await client.instances.stop('same');
    const [started, stopped] = await Promise.allSettled([
      client.instances.start('same', {}),
      client.instances.stop('same'),
    ]);
    const { state } = await client.instances.get('same');
    const winners = [started.status === 'fulfilled', stopped.status === 'fulfilled'];
    assert.ok(winners.includes(true), 'neither won');
    assert.ok(['Running', 'Stopped'].includes(state), state);
    const deletes = await Promise.allSettled([
      client.instances.delete('same'),
      client.instances.delete('same'),
    ]);
    assert.ok(deletes.some(({ status }) => status === 'fulfilled'));
    for (const result of deletes)
      if (result.status === 'rejected') assert.ok(result.reason instanceof Hypeman.NotFoundError);
    assert.deepEqual(await names(), []);
    assert.deepEqual(await processesBelow(vivd.daemon.home), []);
  });
});
