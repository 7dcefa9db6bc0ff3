import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import Hypeman from '@onkernel/hypeman';
import { type HypemanDaemon, hypemanDaemon } from './hypeman-daemon.ts';
import { hypemanExec } from './hypeman-exec.ts';

/* Volumes by hypeman's official client, unmodified, against a vivd with real VMs; and the scenarios it has with them. */

const run = promisify(execFile);
const cmd = ['sleep', '100000'];

describe('hypeman’s official client', () => {
  let vivd: HypemanDaemon;
  let client: Hypeman;
  before(async () => {
    vivd = await hypemanDaemon();
    ({ client } = vivd);
  });
  after(() => vivd?.[Symbol.asyncDispose]());

  const output = async (instance: string, command: string) =>
    String((await (await hypemanExec(vivd, instance, ['sh', '-c', command])).result).output).trim();
  const create = (name: string, volumes: Hypeman.VolumeMount[] = []) =>
    client.instances.create({ name, image: 'busybox', cmd, volumes });

  test('makes, finds, attaches, detaches and deletes volumes', async () => {
    const made = await client.volumes.create({ name: 'data', size_gb: 1, tags: { team: 'be' } });
    assert.deepEqual([made.name, made.size_gb, made.tags, made.attachments], ['data', 1, { team: 'be' }, []]);
    assert.deepEqual(await client.volumes.list({ tags: { team: 'be' } }), [made]);
    const { id } = await create('hot');
    const attached = await client.instances.volumes.attach('data', { id, mount_path: '/data' });
    assert.equal(attached.volumes?.[0]?.mount_path, '/data');
    await output(id, 'echo kept > /data/file; sync');
    const [attachment] = (await client.volumes.get(made.id)).attachments ?? [];
    assert.deepEqual([attachment?.instance_id, attachment?.readonly], [id, false]);
    await assert.rejects(client.volumes.delete(made.id), Hypeman.ConflictError);
    assert.equal((await client.instances.volumes.detach('data', { id })).volumes, undefined);
    assert.equal(await output(id, 'ls /data'), '');
    await client.instances.delete(id);
    const next = await create('next', [{ volume_id: made.id, mount_path: '/there', readonly: true }]);
    assert.equal(await output(next.id, 'cat /there/file'), 'kept');
    await client.instances.delete(next.id);
    assert.equal(await client.volumes.delete(made.id), null);
    await assert.rejects(client.volumes.get(made.id), Hypeman.NotFoundError);
  });

  test('8: a second writer is refused, many readers are not, and a race has one winner', async () => {
    await client.volumes.create({ name: 'one', size_gb: 1 });
    const racing = await Promise.allSettled(
      [1, 2, 3].map((n) => create(`race-${n}`, [{ volume_id: 'one', mount_path: '/data' }])),
    );
    const won = racing.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    assert.equal(won.length, 1);
    for (const end of racing)
      if (end.status === 'rejected') assert.ok(end.reason instanceof Hypeman.ConflictError);
    await client.instances.delete(won[0]?.id ?? '');
    const readers = [];
    for (const n of [1, 2])
      readers.push(await create(`reader-${n}`, [{ volume_id: 'one', mount_path: '/data', readonly: true }]));
    await assert.rejects(
      create('writer', [{ volume_id: 'one', mount_path: '/data' }]),
      Hypeman.ConflictError,
    );
    for (const { id } of readers) await client.instances.delete(id);
    await client.volumes.delete('one');
  });

  test('9: what is written to a private overlay stays private', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'vol-'));
    try {
      await writeFile(path.join(dir, 'file'), 'base\n');
      await run('tar', ['-czf', path.join(dir, 'out.tar.gz'), '-C', dir, 'file']);
      const archive = await readFile(path.join(dir, 'out.tar.gz'));
      await client.volumes.createFromArchive(archive, { name: 'base', size_gb: 1 });
    } finally {
      await rm(dir, { recursive: true });
    }
    const overlay = {
      volume_id: 'base',
      mount_path: '/data',
      readonly: true,
      overlay: true,
      overlay_size: '1GB',
    };
    const [one, two] = [await create('one', [overlay]), await create('two', [overlay])];
    await output(one.id, 'echo mine > /data/file');
    assert.equal(await output(one.id, 'cat /data/file'), 'mine');
    assert.equal(await output(two.id, 'cat /data/file'), 'base');
    for (const { id } of [one, two]) await client.instances.delete(id);
    await client.volumes.delete('base');
  });

  test('10: a hostile archive is refused, and nothing is left of it', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'vol-'));
    try {
      await writeFile(path.join(dir, 'x'), 'x');
      const file = path.join(dir, 'evil.tar.gz');
      await run('tar', ['-czPf', file, '-C', dir, '--transform', 's,^x$,../../evil,', 'x']);
      const refused = client.volumes.createFromArchive(await readFile(file), { name: 'evil', size_gb: 1 });
      await assert.rejects(Promise.resolve(refused), Hypeman.UnprocessableEntityError);
    } finally {
      await rm(dir, { recursive: true });
    }
    assert.deepEqual(await client.volumes.list(), []);
  });
});
