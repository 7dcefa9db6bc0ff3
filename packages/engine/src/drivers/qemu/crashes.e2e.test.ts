import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isAlive, waitUntilGone } from '../../host/identity.ts';
import { isMachine, withCode, within } from '../conformance/bench.ts';
import {
  type ExitRecord,
  inheritedFrom,
  isMachineSaver,
  type Machine,
  type MachineStatus,
  type SavedState,
} from '../driver.ts';
import { RealMachines } from './real-machines.ts';
import { readShimFile } from './record.ts';

/** Processes that are killed, stopped or never come up. */
describe('a QEMU machine', () => {
  let real: RealMachines;
  let machine: Machine | undefined;
  before(async () => {
    real = await RealMachines.open();
  });
  afterEach(async () => {
    await machine?.kill();
    await machine?.[Symbol.asyncDispose]();
    machine = undefined;
  });
  after(() => real[Symbol.asyncDispose]());

  const launch = async (): Promise<Machine> => {
    machine = await real.driver.launch(await real.spec());
    return machine;
  };

  test('tells within a second that its QEMU was killed, and by which signal', async () => {
    const { record, exited, onStatus } = bound(await launch());
    const told: MachineStatus[] = [];
    onStatus((status) => told.push(status));
    const killedAt = performance.now();
    process.kill(record.vmm.pid, 'SIGKILL');
    const exit = await within(exited, 'the exit record', 1_000);
    assert.equal(exit.signal, 'SIGKILL');
    assert.deepEqual(told, ['exited']);
    assert(performance.now() - killedAt < 1_000);
    assert.deepEqual(await real.leftovers(), []);
  });

  test('dies with its shim, and its end is then told as one that nobody saw', async () => {
    const { record, exited } = bound(await launch());
    process.kill(record.shim.pid, 'SIGKILL');
    const exit = await within(exited, 'the end of the machine', 2_000);
    assert.equal(exit.unobserved, true);
    assert.equal(exit.signal, undefined);
    assert.equal(await isAlive(record.vmm), false);
    assert.deepEqual(await real.restarted().adopt(record.dir), exit);
  });

  test('whose shim was killed while nobody looked is found ended, the same each time', async () => {
    const abandoned = await launch();
    const { record } = abandoned;
    await abandoned[Symbol.asyncDispose]();
    machine = undefined;
    process.kill(record.shim.pid, 'SIGKILL');
    assert(await waitUntilGone(record.vmm, 2_000));
    const first = (await real.restarted().adopt(record.dir)) as ExitRecord;
    assert.equal(first.unobserved, true);
    assert.deepEqual(await real.restarted().adopt(record.dir), first);
    const relaunched = await real.driver.launch({ ...(await real.spec()), dir: record.dir });
    machine = relaunched;
    assert.equal(await relaunched.status(), 'running');
  });

  test('whose QEMU does not answer says so after two seconds, and can be killed all the same', async () => {
    const stopped = await launch();
    process.kill(stopped.record.vmm.pid, 'SIGSTOP');
    const askedAt = performance.now();
    await assert.rejects(stopped.status(), withCode('vmm_failed'));
    assert(performance.now() - askedAt < 3_000);
    assert.equal((await stopped.kill()).signal, 'SIGKILL');
  });

  test('whose shim does not answer can be killed all the same', async () => {
    const { record } = await launch();
    process.kill(record.shim.pid, 'SIGSTOP');
    const exit = await (machine as Machine).kill();
    assert.equal(exit.unobserved, true);
    assert.equal((await isAlive(record.vmm)) || (await isAlive(record.shim)), false);
  });

  test('whose QEMU is killed while it waits for its state is none, and leaves nothing', async () => {
    const saved = await launch();
    assert(isMachineSaver(saved));
    const dir = path.join(real.home, 'saved');
    await mkdir(dir);
    const guest = { generation: 1, hostname: 'waits', machineId: '0'.repeat(32) };
    const { manifest } = await saved.save({ dir, guest, afterwards: 'stay' });
    await saved.kill();
    const spec = await real.spec();
    const inherited = inheritedFrom({ dir, manifest });
    const never = new Promise<SavedState>(() => undefined);
    const waiting = real.driver.launch(spec, undefined, { dir, inherited, state: never });
    const vmm = async () => (await readShimFile(spec.dir))?.vmm;
    while ((await vmm()) === undefined) await turn();
    process.kill((await vmm())?.pid ?? 0, 'SIGKILL');
    await assert.rejects(waiting, withCode('vmm_failed'));
    assert.deepEqual(await real.leftovers(), []);
  });

  test('that QEMU refuses is a failure with the words of QEMU, and leaves nothing', async () => {
    const spec = await real.spec({
      disks: [{ serial: 'root', path: '/nowhere/root.qcow2', format: 'qcow2', readOnly: false }],
    });
    await assert.rejects(real.driver.launch(spec), (error: Error) => {
      assert(withCode('vmm_failed')(error));
      assert.match(error.message, /nowhere\/root\.qcow2.*No such file/);
      return true;
    });
    assert.deepEqual(await real.leftovers(), []);
    assert.equal(await real.restarted().adopt(spec.dir), undefined);
  });

  test('that prints without end neither stops nor grows its shim', async () => {
    const spec = await real.spec();
    assert(spec.boot.kind === 'direct');
    // Every initialisation call of the kernel is reported: some hundred KiB before there is anything else to do.
    const boot = { ...spec.boot, cmdline: 'console=ttyS0 ignore_loglevel initcall_debug panic=0' };
    machine = await real.driver.launch({ ...spec, boot, logs: { maxBytes: 16_384, keep: 1 } });
    const console = await machine.open('console');
    let bytes = 0;
    for await (const [chunk] of onChunk(console)) {
      bytes += chunk.length;
      if (bytes > 100_000) break;
    }
    console.destroy();
    assert.equal(await machine.status(), 'running');
  });
});

async function* onChunk(stream: NodeJS.ReadableStream): AsyncGenerator<[Buffer]> {
  for (;;) yield (await once(stream, 'data', { signal: AbortSignal.timeout(60_000) })) as [Buffer];
}

/** The parts a test needs, usable after the machine was let go. */
function bound(machine: Machine): Pick<Machine, 'record' | 'exited' | 'onStatus'> {
  assert(isMachine(machine));
  return { record: machine.record, exited: machine.exited, onStatus: machine.onStatus.bind(machine) };
}
