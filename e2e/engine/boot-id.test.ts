import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Progress, Vm } from '@vivarium/model';
import { RealEngine } from './real-engine.ts';

const shown = '/proc/sys/kernel/random/boot_id';

/** What is made from a template has the kernel of that template, and with it the boot id that was drawn there. */
describe('the boot id of a real VM', () => {
  let real: RealEngine;
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });
    await real.engine.templates.warm({ image: 'busybox' });
  });
  after(() => real[Symbol.asyncDispose]());

  const bootIdOf = async (vm: Vm) => (await vm.exec(['cat', shown]).orThrow()).stdout;
  const fromTemplate = async (name: string) => {
    const stages: Progress[] = [];
    const onProgress = (progress: Progress) => stages.push(progress);
    const vm = await real.engine.run('busybox', { name, cmd: ['sleep', '1000'] }, { onProgress });
    assert.ok(
      stages.some((progress) => progress.stage === 'restoring' && progress.from === 'image-template'),
    );
    return vm;
  };

  test('is its own from the first instruction of the workload on, and another after each start', async () => {
    const [one, two] = [await fromTemplate('one'), await fromTemplate('two')];
    const seen = [await bootIdOf(one), await bootIdOf(two)];
    await one.restart();
    seen.push(await bootIdOf(one));
    for (const id of seen) assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/);
    assert.equal(new Set(seen).size, 3, seen.join());
  });

  test('can be changed by nobody in it, and leaves a namespace of theirs its own /proc', async () => {
    const vm = await real.engine.get('two');
    assert.ok(!(await vm.exec(['sh', '-c', `echo mine > ${shown}`])).ok);
    const nested = [
      'unshare',
      '-r',
      '-p',
      '-f',
      '-m',
      'sh',
      '-c',
      `mount -t proc proc /proc && cat ${shown}`,
    ];
    await vm.exec(nested).orThrow();
  });
});
