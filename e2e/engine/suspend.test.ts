import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { processesBelow, RealEngine, until } from './real-engine.ts';

/** Counts in memory, writes the number to the disk, and talks to itself over TCP. */
const busy = [
  'sh',
  '-c',
  'cat /proc/uptime > /begun; i=0; (while :; do nc -l -p 7000 -e cat; done) & while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done',
];

const countOf = async (vm: Vm): Promise<number> => Number((await vm.exec(['cat', '/count'])).stdout) || 0;

describe('a real VM whose memory is saved', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });
    vm = await real.engine.run('busybox', { name: 'sleeper', cmd: busy });
  });
  after(() => real[Symbol.asyncDispose]());

  const dir = (): string => path.join(real.home, 'instances', vm.id);

  test('is Suspended with no process left, and goes on from where it was', async () => {
    await until('it counts', async () => (await countOf(vm)) > 5);
    const before = await countOf(vm);
    assert.deepEqual(await vm.suspend(), { changed: true, state: 'Suspended' });
    assert.deepEqual(await processesBelow(dir()), []);
    assert.deepEqual(await vm.suspend(), { changed: false, state: 'Suspended' });
    const info = await vm.refresh();
    assert.ok(info.suspendedAt);
    assert.equal(info.exit, undefined);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    const after = await countOf(vm);
    assert.ok(after >= before && after < before + 400, `${before}, then ${after}: it was not started anew`);
    await until('it counts on', async () => (await countOf(vm)) > after);
    assert.ok(!(await readdir(dir())).includes('saved'));
  });

  test('has the right time, its name and its address afterwards', async () => {
    const address = async () =>
      (await vm.exec(['ip', 'addr', 'show', 'eth0'])).stdout.match(/inet (\S+)/)?.[1];
    const was = await address();
    await vm.suspend();
    await vm.start();
    const told = Number((await vm.exec(['date', '+%s'])).stdout);
    assert.ok(Math.abs(told - Date.now() / 1000) <= 2);
    assert.equal((await vm.exec(['hostname'])).stdout, 'sleeper\n');
    assert.equal(await address(), was);
  });

  test('loses no byte of an exec that runs, and doubles none, in either direction', async () => {
    const counting = vm.exec([
      'sh',
      '-c',
      'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.02; done',
    ]);
    const lines: string[] = [];
    const reading = (async () => {
      for await (const line of counting.lines()) lines.push(line);
    })();
    const echo = await vm.openExec?.(['cat'], { stdin: 'open-stream' });
    assert.ok(echo);
    let echoed = '';
    const listening = (async () => {
      for await (const { data } of echo.output) echoed += Buffer.from(data).toString();
    })();
    let said = '';
    const say = async (text: string) => {
      said += text;
      await echo.write(Buffer.from(text));
    };
    for (let round = 0; round < 3; round++) {
      await until('some lines', () => lines.length > 40 * round);
      await say(`before ${round}\n`);
      const suspending = vm.suspend();
      void say(`meanwhile ${round}\n`);
      await suspending;
      await vm.start();
      await say(`after ${round}\n`);
    }
    await echo.end();
    await Promise.all([reading, listening]);
    assert.deepEqual(
      lines,
      Array.from({ length: 400 }, (_, index) => `line ${index + 1}`),
    );
    assert.equal(echoed, said);
    assert.equal((await echo.exit).code, 0);
  });

  test('keeps connections inside of it, and ends those to the outside', async () => {
    const inside = await vm.connect(7000);
    inside.write('one');
    assert.equal(String((await inside[Symbol.asyncIterator]().next()).value), 'one');
    inside.destroy();
    const keep = vm.exec(['sh', '-c', '(echo a; sleep 2; echo b; sleep 1) | nc 127.0.0.1 7000']);
    await vm.suspend();
    await vm.start();
    assert.equal((await keep).stdout, 'a\nb\n');
  });

  test('that is paused is suspended as paused, and comes back so', async () => {
    await vm.pause();
    await vm.suspend();
    assert.deepEqual(await vm.start(), { changed: true, state: 'Paused' });
    await vm.resume();
    const before = await countOf(vm);
    await until('it counts on', async () => (await countOf(vm)) > before);
  });

  test('gives its memory up when it is discarded, and boots from its disk', async () => {
    await vm.exec(['sh', '-c', 'echo kept > /kept; rm /begun; sync']).orThrow();
    await vm.suspend();
    assert.deepEqual(await vm.discard(), { changed: true, state: 'Stopped' });
    assert.ok(!(await readdir(dir())).includes('saved'));
    await vm.start();
    assert.equal((await vm.exec(['cat', '/kept'])).stdout, 'kept\n');
    assert.ok((await vm.exec(['cat', '/begun'])).ok, 'its command began anew');
  });

  test('started cold boots, and its memory is gone only then', async () => {
    await vm.suspend();
    assert.deepEqual(await vm.start({ cold: true }), { changed: true, state: 'Running' });
    assert.equal((await vm.refresh()).suspendedAt, undefined);
    assert.equal((await vm.exec(['cat', '/kept'])).stdout, 'kept\n');
  });

  test('is found Suspended by the next engine, and goes on there', async () => {
    // What is there is of an earlier life, until this one has counted for the first time.
    await vm.exec(['rm', '/count']).orThrow();
    await until('it counts', async () => (await countOf(vm)) > 5);
    const before = await countOf(vm);
    await vm.suspend();
    await real.reopen();
    vm = await real.engine.get('sleeper');
    assert.equal(vm.info.state, 'Suspended');
    await vm.start();
    assert.ok((await countOf(vm)) >= before);
  });
});
