import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Vivarium, Vm, VolumeInfo } from '@vivarium/model';
import { processesBelow, until } from '../engine/real-engine.ts';
import { archiveOf, said } from '../engine/volume-parts.ts';
import { mulberry32, rounds, seed } from './moments.ts';
import { RealDaemon } from './real-daemon.ts';

const mount = { volume: 'data', path: '/data' } as const;
const fill = `echo kept > kept; dd if=/dev/urandom of=much bs=1M count=6 2> /dev/null`;

type Work = (viv: Vivarium, vm: Vm) => Promise<void>;

/** What is under way when the daemon is killed, and the longest it takes here, in milliseconds. */
const work: {
  name: 'attach' | 'detach' | 'forced detach' | 'import';
  longestMs: number;
  prepare: Work;
  run: Work;
}[] = [
  {
    name: 'attach',
    longestMs: 250,
    prepare: async (viv) =>
      void (await viv.volumes.import(await archiveOf(fill), { name: 'data', size: '64MB' })),
    run: async (_, vm) => void (await vm.volumes.attach(mount)),
  },
  {
    name: 'detach',
    longestMs: 150,
    prepare: attached,
    run: async (_, vm) => void (await vm.volumes.detach('data')),
  },
  {
    name: 'forced detach',
    longestMs: 150,
    prepare: async (viv, vm) => {
      await attached(viv, vm);
      await vm.exec(['sh', '-c', 'cd /data; (while :; do date > seen; sleep 0.01; done) > /dev/null 2>&1 &']);
    },
    run: async (_, vm) => void (await vm.volumes.detach('data', { force: true })),
  },
  {
    name: 'import',
    longestMs: 1000,
    prepare: async () => undefined,
    run: async (viv) =>
      void (await viv.volumes.import(await archiveOf(fill), { name: 'data', size: '64MB' })),
  },
];

async function attached(viv: Vivarium, vm: Vm): Promise<void> {
  await viv.volumes.import(await archiveOf(fill), { name: 'data', size: '64MB' });
  await vm.volumes.attach(mount);
}

describe(`vivd killed while volumes come and go (seed ${seed})`, () => {
  let daemon: RealDaemon;
  const random = mulberry32(seed);
  before(async () => {
    daemon = await RealDaemon.start();
    await daemon.viv.run('busybox', { name: 'x' });
  });
  after(() => daemon[Symbol.asyncDispose]());

  for (const { name, longestMs, prepare, run } of work) {
    for (let round = 1; round <= rounds; round++) {
      test(`in the middle of it (${name}, round ${round}) leaves a volume whole or not there`, async (t) => {
        const { viv } = daemon;
        const vm = await viv.get('x');
        await prepare(viv, vm);
        const afterMs = Math.round(random() * longestMs);
        const outcome = run(viv, vm).then(
          () => 'done',
          (error: { code: string }) => error.code,
        );
        await delay(afterMs);
        await daemon.kill();
        const answered = await outcome;
        await daemon.start();
        const context = `${name}: killed after ${afterMs} ms; the call answered ${answered}`;
        const volume = await accountedFor(daemon, context);
        const has = volume?.attachments.length === 1;
        t.diagnostic(
          `${context}; then ${volume === undefined ? 'no volume' : has ? 'attached' : 'detached'}`,
        );
        if (answered === 'done') assert.equal(has, name === 'attach', context);
        if (name !== 'import' || answered === 'done') assert.ok(volume, context);
        if (volume === undefined) return;
        // Whatever was left of it can be used and be removed.
        if (!has) await vm.volumes.attach(mount);
        const token = randomBytes(8).toString('hex');
        assert.equal(
          await said(vm, `echo ${token} > /data/new; sync; cat /data/kept /data/new`),
          `kept\n${token}`,
        );
        assert.equal(await said(vm, 'wc -c < /data/much'), String(6 * 2 ** 20), context);
        await vm.volumes.detach('data', { force: true });
        await viv.volumes.remove('data');
        assert.equal(await accountedFor(daemon, context), undefined);
      });
    }
  }
});

/** What is said of the instance, of the volume, and what its guest has are one; every directory and process belongs to somebody. */
async function accountedFor(daemon: RealDaemon, context: string): Promise<VolumeInfo | undefined> {
  const { viv, home } = daemon;
  const vm = await viv.get('x');
  assert.equal(vm.info.state, 'Running', `${JSON.stringify(vm.info.stateError)}; ${context}`);
  assert.equal(vm.info.operation, undefined, context);
  const volumes = await viv.volumes.list();
  assert.ok(volumes.length <= 1, context);
  const [volume] = volumes;
  const attachments = vm.info.volumes ?? [];
  assert.deepEqual(
    volume?.attachments.map(({ instanceId, path: at }) => [instanceId, at]) ?? [],
    attachments.map(({ path: at }) => [vm.id, at]),
    context,
  );
  assert.equal(Number(await said(vm, 'mount | grep -c " /data "')), attachments.length, context);
  // The guest hears of a disk that is gone a moment after it is.
  const disks = async () => Number(await said(vm, 'ls /sys/class/scsi_disk 2> /dev/null | wc -l'));
  await until(
    `as many disks as volumes; ${context}`,
    async () => (await disks()) === attachments.length,
    5000,
  );
  const dir = path.join(home, 'volumes');
  assert.deepEqual(
    (await readdir(dir)).sort(),
    volumes.map(({ id }) => id),
    context,
  );
  assert.deepEqual(await processesBelow(dir, 0), [], context);
  return volume;
}
