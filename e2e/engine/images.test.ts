import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { type TestImage, testImage } from '../images/index.ts';
import { type Registry, startRegistry } from '../registry.ts';
import { RealEngine, until } from './real-engine.ts';

describe('images in a real VM', () => {
  let real: RealEngine;
  before(async () => {
    real = await RealEngine.open();
  });
  after(() => real[Symbol.asyncDispose]());

  const imported = async (name: TestImage): Promise<string> => {
    await real.engine.images.import(await testImage(name));
    return `${name}:test`;
  };
  const printed = async (image: string): Promise<{ text: string; vm: Vm }> => {
    const vm = await real.engine.run(image);
    await vm.waitFor('Stopped');
    let text = '';
    for await (const line of vm.logs()) text += `${line.text}\n`;
    return { text, vm };
  };

  test('of eleven layers keep whiteouts, opaque directories, links, setuid, capabilities and names', async () => {
    const { text, vm } = await printed(await imported('layered'));
    assert.equal(text, 'OK\n');
    assert.equal(vm.info.exit?.code, 0);
    await vm.delete();
  });

  test('of sixty layers run', async () => {
    const image = await imported('sixty');
    assert.equal((await real.engine.images.get(image)).layers.length, 60);
    await using vm = await real.engine.run(image, { cmd: ['sleep', '1000'] });
    const { stdout } = await vm.exec(['sh', '-c', 'echo $(cat /layers/last) $(ls /layers | wc -l)']);
    assert.equal(stdout, '59 60\n');
  });

  test('built for x86-64-v2 run without hardware virtualisation', async () => {
    const { text, vm } = await printed(await imported('v2'));
    assert.equal(text, 'OK\n');
    await vm.delete();
  });

  test('of a Debian userland run its programs, and dpkg knows its packages', async () => {
    await using vm = await real.engine.run(await imported('debian'), { memory: '384MB' });
    const { stdout } = await vm.exec(['cat', '/etc/os-release']).orThrow();
    assert.match(stdout, /^ID=(debian|ubuntu)$/m);
    const dpkg = await vm.exec(['dpkg', '-l']).orThrow();
    assert.match(dpkg.stdout, /^ii\s+procps\s/m);
    const users = await vm.exec(['sh', '-c', 'id -un'], { user: 'www-data' }).orThrow();
    assert.equal(users.stdout, 'www-data\n');
    await vm.exec(['sh', '-c', 'dpkg --purge procps && ! command -v ps']).orThrow();
  });

  test('whose first process is systemd boot, and shut down in order', async () => {
    await using vm = await real.engine.run(await imported('systemd'), {
      memory: '512MB',
      stopTimeoutMs: 60_000,
    });
    await until(
      'systemd is up',
      async () => {
        const { stdout } = await vm.exec(['systemctl', 'is-system-running']);
        return /^(running|degraded)$/.test(stdout.trim());
      },
      120_000,
    );
    const stopped = await vm.stop();
    assert.equal(stopped.state, 'Stopped');
    assert.equal((await vm.refresh()).exit?.reason, 'stopped');
  });

  test('say by their configuration what runs, where, as whom and how it is stopped', async () => {
    const image = await imported('configured');
    const { config } = await real.engine.images.get(image);
    assert.deepEqual([config.exposedPorts, config.labels], [['80/tcp'], { purpose: 'test' }]);
    await using vm = await real.engine.run(image, { env: { LATE: 'yes' } });
    assert.deepEqual(vm.info.command, [...config.entrypoint, ...config.cmd]);
    const text = async () => {
      let all = '';
      for await (const line of vm.logs()) all += `${line.text}\n`;
      return all;
    };
    await until('four lines', async () => (await text()).split('\n').length > 4);
    assert.equal(await text(), '1234\n4321\n/srv/work\nimage yes\n');
    await vm.stop();
    assert.match(await text(), /stopped by USR1\n$/);
    assert.deepEqual([vm.info.exit?.reason, vm.info.exit?.code], ['stopped', 3]);
  });
});

describe('images of a registry', () => {
  let real: RealEngine;
  let registry: Registry;
  let app: string;
  before(async () => {
    real = await RealEngine.open();
    registry = await startRegistry();
    await real.engine.images.pull('busybox');
    app = await registry.push(await testImage('sixty'), 'team/app:1');
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    await real[Symbol.asyncDispose]();
  });
  const layerFiles = async () =>
    (await readdir(path.join(real.home, 'images'), { recursive: true })).filter((name) =>
      name.endsWith('.sqfs'),
    ).length;

  test('are pulled once, and a second pull moves nothing', async () => {
    const stages = async () => {
      const seen = [];
      const pull = real.engine.images.pull(app);
      for await (const progress of pull) seen.push(progress);
      await pull;
      return seen;
    };
    const first = await stages();
    assert.ok(first.some((progress) => progress.stage === 'layer' && progress.receivedBytes > 0));
    const second = await stages();
    assert.ok(!second.some((progress) => progress.stage === 'converting'));
    assert.equal(second.at(-1)?.stage, 'image-ready');
  });

  test('run, and are not removed while they are used; what other images share stays', async () => {
    await using vm = await real.engine.run(app);
    await vm.waitFor('Stopped');
    await assert.rejects(real.engine.images.remove(app), (error: Error & { code: string }) => {
      assert.equal(error.code, 'conflict');
      assert.match(error.message, new RegExp(vm.name));
      return true;
    });
    await vm.delete();
    const before = await layerFiles();
    const gone = await real.engine.images.remove(app);
    assert.ok(gone.deleted && gone.freedBytes > 0);
    // Its first layer is the built-in image's own.
    assert.equal(before - (await layerFiles()), 59);
    await using still = await real.engine.run('busybox');
    assert.equal((await still.exec(['echo', 'whole'])).stdout, 'whole\n');
  });

  test('that do not exist, or whose registry is down, are told apart, and nothing is half-made', async () => {
    const instances = () => readdir(path.join(real.home, 'instances'));
    const run = async (image: string) => await real.engine.run(image);
    await assert.rejects(run(`${registry.host}/team/absent:1`), { code: 'image_not_found' });
    await assert.rejects(run(`${registry.host}/team/app:2`), { code: 'image_not_found' });
    await assert.rejects(run('not a reference'), { code: 'invalid_reference' });
    await registry.stop();
    await assert.rejects(run(app), { code: 'registry_unreachable' });
    assert.deepEqual(await instances(), []);
  });
});
