import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { type Bench, within } from './bench.ts';

/** The byte streams of a machine. */
export function channelTests(bench: Bench): void {
  test('the agent answers on the control channel', async () => {
    const guest = await bench.connect(await bench.launch());
    assert.notEqual(guest.agentVersion, '');
    await guest.ping();
  });

  test('control and bulk are open at the same time', async () => {
    const machine = await bench.launch();
    const [control, bulk] = await Promise.all([machine.open('control'), machine.open('bulk')]);
    assert.equal(control.destroyed || bulk.destroyed, false);
    control.destroy();
    bulk.destroy();
  });

  test('a control channel can be opened again after it was let go, and the agent answers again', async () => {
    const machine = await bench.launch();
    await (await bench.connect(machine))[Symbol.asyncDispose]();
    await (await bench.connect(machine)).ping();
  });

  test('two consoles show what the guest prints while it boots', async () => {
    const machine = await bench.launch({ run: false });
    const consoles = await Promise.all([machine.open('console'), machine.open('console')]);
    const printed = consoles.map((console) => once(console, 'data'));
    await machine.resume();
    for (const chunk of printed) {
      const [bytes] = (await within(chunk, 'output on the console', bench.context.bootTimeoutMs)) as [Buffer];
      assert(bytes.length > 0);
    }
    for (const console of consoles) console.destroy();
  });

  test('every channel is closed when the machine ends', async () => {
    const machine = await bench.launch();
    const streams = await Promise.all([
      machine.open('control'),
      machine.open('bulk'),
      machine.open('console'),
    ]);
    const closed = streams.map((stream) => {
      stream.on('error', () => {}); // a reset instead of an end is fine, the close is what counts
      stream.resume();
      return new Promise<void>((resolve) => stream.once('close', () => resolve()));
    });
    await machine.kill();
    await within(Promise.all(closed), 'the close of every channel');
  });
}
