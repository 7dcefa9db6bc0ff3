import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bench, isMachine, until, within } from './bench.ts';

/** What a restarted daemon finds. */
export function adoptingTests(bench: Bench): void {
  test('a machine outlives whoever launched it and is found with the same pids', async () => {
    const machine = await bench.launch();
    await bench.abandon(machine);
    const found = await bench.adopt(machine.record.dir);
    assert.deepEqual(found.record, machine.record);
    assert.equal(await found.status(), 'running');
    await (await bench.connect(found)).ping();
  });

  test('a paused machine is found paused and can be resumed', async () => {
    const machine = await bench.launch();
    await machine.pause();
    await bench.abandon(machine);
    const found = await bench.adopt(machine.record.dir);
    assert.equal(await found.status(), 'paused');
    await found.resume();
    assert.equal(await found.status(), 'running');
  });

  test('a prepared machine is found created and can be run', async () => {
    const machine = await bench.launch({ run: false });
    await bench.abandon(machine);
    const found = await bench.adopt(machine.record.dir);
    assert.equal(await found.status(), 'created');
    await found.resume();
    await (await bench.connect(found)).ping();
  });

  test('an adopted machine tells of its end as a launched one does', async () => {
    const machine = await bench.launch();
    await bench.abandon(machine);
    const found = await bench.adopt(machine.record.dir);
    const told: string[] = [];
    found.onStatus((status) => told.push(status));
    const exit = await found.kill();
    assert.equal(exit.signal, 'SIGKILL');
    assert.deepEqual(await within(found.exited, 'the exit record'), exit);
    await until(found, 'exited');
    assert.deepEqual(told, ['exited']);
  });

  test('where a machine has ended its exit record is found', async () => {
    const machine = await bench.launch();
    const exit = await machine.kill();
    const found = await bench.context.restarted().adopt(machine.record.dir);
    assert(found !== undefined && !isMachine(found));
    assert.deepEqual(found, exit);
  });

  test('an end that nobody was there to hear is found afterwards', async () => {
    const machine = await bench.launch();
    const guest = await bench.connect(machine);
    await guest.shutdown({ graceMs: 1000 });
    await bench.abandon(machine);
    const found = await bench.context.restarted().adopt(machine.record.dir);
    assert(found !== undefined);
    const exit = isMachine(found) ? await within(bench.keep(found).exited, 'the exit record') : found;
    assert.equal(exit.code, 0);
  });

  test('where nothing was ever launched nothing is found', async () => {
    const spec = await bench.context.spec();
    assert.equal(await bench.context.restarted().adopt(spec.dir), undefined);
  });
}
