import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { rootLayers } from '../../packages/engine/src/disks/index.ts';
import { RealEngine, until } from './real-engine.ts';

const forks = 12;

describe('the disk of a real VM that is forked again and again', () => {
  let real: RealEngine;
  let source: Vm;
  const children: Vm[] = [];
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });
    source = await real.engine.run('busybox', { name: 'source', cmd: ['sleep', '100000'] });
  });
  after(() => real[Symbol.asyncDispose]());

  const dir = (vm: Vm) => path.join(real.home, 'instances', vm.id);
  const under = async (vm: Vm) => (await rootLayers(dir(vm))).length - 1;
  const words = (count: number) => Array.from({ length: count }, (_, index) => `${index}\n`).join('');
  const wordsOf = async (vm: Vm) =>
    (await vm.exec(['sh', '-c', 'md5sum -c -s /sum && cat $(ls /word-* | sort -t- -k2n)']).orThrow()).stdout;

  test('has few layers, and all that was written to it', async () => {
    await source
      .exec(['sh', '-c', 'head -c 4000000 /dev/urandom > /large; md5sum /large > /sum; sync'])
      .orThrow();
    let most = 0;
    for (let number = 0; number < forks; number++) {
      await source.exec(['sh', '-c', `echo ${number} > /word-${number}; sync`]).orThrow();
      children.push(
        ...(await source.fork({ name: `child-${number}`, state: number === 5 ? 'running' : 'stopped' })),
      );
      most = Math.max(most, await under(source));
    }
    assert.ok(most <= 10, `${most}`);
    await until(
      'a merge',
      async () => (await under(source)) < 6 && (await source.refresh()).operation === undefined,
    );
    assert.equal(await wordsOf(source), words(forks));
    const named = (await readdir(dir(source))).filter((name) => /^root\.[0-9a-f]{12}\.qcow2$/.test(name));
    assert.ok(named.length <= (await under(source)) + 1, named.join());
  });

  test('starts again, and every copy has what it had', async () => {
    await source.restart();
    assert.equal(await wordsOf(source), words(forks));
    for (const number of [0, 5, 8, 11]) {
      const child = children[number] as Vm;
      await child.start();
      assert.equal(await wordsOf(child), words(number + 1));
      await child.stop({ force: true });
    }
  });

  test('and one that is suspended as often has few layers too', async () => {
    for (let number = 0; number < forks; number++) {
      await source.suspend();
      await source.start();
      assert.ok((await under(source)) <= 10);
    }
    assert.equal(await wordsOf(source), words(forks));
  });
});
