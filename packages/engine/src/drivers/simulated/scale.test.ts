import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineSpec } from '../driver.ts';
import { SimulatedDriver } from './driver.ts';
import { SimulatedHost } from './host.ts';

const count = 10_000;

function spec(number: number): MachineSpec {
  return {
    instanceId: `m${number}`,
    dir: `/simulated/m${number}`,
    cpus: 1,
    memoryBytes: 256 * 2 ** 20,
    boot: { kind: 'direct', kernel: '/kernel', initramfs: '/initramfs', cmdline: '' },
    guest: 'agent',
    disks: [],
    publish: [],
    run: true,
    detached: true,
    logs: { maxBytes: 1024 * 1024, keep: 1 },
  };
}

test('ten thousand machines with their guests live in one process, at less than 20 KiB each', async () => {
  const driver = new SimulatedDriver(new SimulatedHost({ logs: 'none' }));
  const before = heap();
  const machines = await Promise.all(
    Array.from({ length: count }, (_, number) => driver.launch(spec(number))),
  );
  const each = (heap() - before) / count;
  assert(each < 20 * 1024, `${Math.round(each)} bytes each`);
  assert.equal(new Set(machines.map(({ record }) => record.vmm.pid)).size, count);
  for (const machine of machines) await machine.kill();
});

/** Bytes in use, after a collection where Node lets us have one. */
function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
