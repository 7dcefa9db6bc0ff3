import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { MakingOptions, Progress } from '@vivarium/model';
import { processesBelow } from '../engine/real-engine.ts';
import { RealDaemon } from './real-daemon.ts';

describe('a run whose vivd is killed -9 in the middle', () => {
  for (const at of ['launching', 'configuring', 'running'] satisfies Progress['stage'][]) {
    test(`at ${at}, makes one VM, which the SDK’s own second request answers`, async () => {
      await using daemon = await RealDaemon.start();
      const { viv } = daemon;
      let again: Promise<void> | undefined;
      const options: MakingOptions = {
        idempotencyKey: 'e2e',
        onProgress: ({ stage }) => {
          if (stage === at) again ??= daemon.kill().then(() => daemon.start());
        },
      };
      const vm = await viv.run('busybox', { network: 'none' }, options);
      assert.ok(again, 'it was killed');
      await again;
      assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
      assert.deepEqual(
        (await viv.list()).items.map(({ id, state }) => [id, state]),
        [[vm.id, 'Running']],
      );
      assert.equal((await viv.run('busybox', { network: 'none' }, { idempotencyKey: 'e2e' })).id, vm.id);
      const instances = path.join(daemon.home, 'instances');
      assert.deepEqual(await readdir(instances), [vm.id]);
      assert.equal((await processesBelow(instances, 0)).length, 2, 'one shim, one VMM');
    });
  }
});
