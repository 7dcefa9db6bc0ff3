import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { isVivError } from '@vivarium/model';
import type { MachineSpec } from '../driver.ts';
import { type Bench, until, withCode } from './bench.ts';

/** Launch: what it gives, and that it leaves nothing when it doesn't. */
export function launchingTests(bench: Bench): void {
  test('a launched machine runs, and its record says who it is', async () => {
    const spec = await bench.context.spec();
    const machine = await bench.launchSpec(spec);
    const { record } = machine;
    assert.equal(await machine.status(), 'running');
    assert.equal(record.driver, bench.context.driver.name);
    assert.equal(record.instanceId, spec.instanceId);
    assert.equal(record.dir, spec.dir);
    assert(record.vmm.pid > 0 && record.shim.pid > 0);
    assert.notEqual(record.vmm.pid, record.shim.pid);
    assert.equal(record.vmm.bootId, record.shim.bootId);
    assert(!Number.isNaN(Date.parse(record.launchedAt)));
  });

  test('a prepared machine is created, does not run, and runs once resumed', async () => {
    const machine = await bench.launch({ run: false });
    assert.equal(await machine.status(), 'created');
    await machine.resume();
    assert.equal(await machine.status(), 'running');
    await (await bench.connect(machine)).ping();
  });

  test('two machines live side by side, and the end of one is not the end of the other', async () => {
    const [first, second] = [await bench.launch(), await bench.launch()];
    assert.notEqual(first.record.vmm.pid, second.record.vmm.pid);
    await first.kill();
    assert.equal(await first.status(), 'exited');
    assert.equal(await second.status(), 'running');
  });

  test('a launch whose signal has fired before is cancelled and leaves nothing', async () => {
    const spec = await bench.context.spec();
    await assert.rejects(bench.launchSpec(spec, AbortSignal.abort()), withCode('cancelled'));
    assert.deepEqual(await bench.context.leftovers(), []);
  });

  for (const delayMs of [0, 3, 20, 60]) {
    test(`a launch cancelled after ${delayMs} ms either gave a machine or leaves nothing`, async () => {
      const spec = await bench.context.spec();
      const outcome = await cancelledAfter(bench, spec, delayMs);
      if (outcome === 'launched') return;
      assert.deepEqual(await bench.context.leftovers(), []);
      assert.equal(await bench.context.restarted().adopt(spec.dir), undefined);
      await until(await bench.launchSpec(spec), 'running');
    });
  }

  portTests(bench);
}

async function cancelledAfter(
  bench: Bench,
  spec: MachineSpec,
  delayMs: number,
): Promise<'launched' | 'cancelled'> {
  const cancel = new AbortController();
  const launch = bench.launchSpec(spec, cancel.signal);
  launch.catch(() => {}); // looked at below; until then it must not count as unhandled
  await (delayMs === 0 ? setImmediate() : setTimeout(delayMs));
  cancel.abort();
  try {
    await launch;
    return 'launched';
  } catch (error) {
    assert(isVivError(error, 'cancelled'), `expected cancelled, got: ${String(error)}`);
    return 'cancelled';
  }
}

function portTests(bench: Bench): void {
  const publish = (hostPort: number, binding: 'required' | 'preferred') => ({
    nic: {
      mac: '02:76:69:76:00:01',
      backend: { kind: 'user', subnet: '10.1.2.0/24', ip: '10.1.2.2', gateway: '10.1.2.1', dns: '10.1.2.3' },
    } as const,
    publish: [{ hostAddress: '127.0.0.1', hostPort, guestPort: 80, binding }],
  });

  test('a port that is left open gets a number, and the record says which', async () => {
    const { ports } = (await bench.launch(publish(0, 'preferred'))).record;
    assert.deepEqual(ports, [{ hostAddress: '127.0.0.1', hostPort: ports[0]?.hostPort, guestPort: 80 }]);
    assert((ports[0]?.hostPort ?? 0) > 0);
  });

  test('a required port that is taken refuses the launch and leaves nothing but its holder', async () => {
    const holder = await bench.launch(publish(0, 'preferred'));
    const taken = holder.record.ports[0]?.hostPort ?? 0;
    const before = await bench.context.leftovers();
    await assert.rejects(bench.launch(publish(taken, 'required')), withCode('port_in_use'));
    assert.deepEqual(await bench.context.leftovers(), before);
    assert.equal(await holder.status(), 'running');
  });

  test('a preferred port that is taken becomes another one', async () => {
    const taken = (await bench.launch(publish(0, 'preferred'))).record.ports[0]?.hostPort ?? 0;
    const other = (await bench.launch(publish(taken, 'preferred'))).record.ports[0]?.hostPort ?? 0;
    assert(other > 0);
    assert.notEqual(other, taken);
  });

  test('a port is free again once its machine is gone', async () => {
    const first = await bench.launch(publish(0, 'preferred'));
    const port = first.record.ports[0]?.hostPort ?? 0;
    await first.kill();
    const second = await bench.launch(publish(port, 'required'));
    assert.equal(second.record.ports[0]?.hostPort, port);
  });
}
