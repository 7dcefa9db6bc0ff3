import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { isAlive, waitUntilGone } from '../../host/identity.ts';
import { UserNetwork } from '../../network/user.ts';
import { isMachine, until, withCode, within } from '../conformance/bench.ts';
import { isDiskGrower, type Machine, type MachineSpec, type MachineStatus } from '../driver.ts';
import { RealMachines } from './real-machines.ts';

const run = promisify(execFile);

/** What QEMU machines do beyond the conformance suite. */
describe('a QEMU machine', () => {
  let real: RealMachines;
  const machines: Machine[] = [];
  before(async () => {
    real = await RealMachines.open();
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) {
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
  });
  after(() => real[Symbol.asyncDispose]());

  const launch = async (overrides: Partial<MachineSpec> = {}): Promise<Machine> => {
    const machine = await real.driver.launch(await real.spec(overrides));
    machines.push(machine);
    return machine;
  };

  const disk = async (): Promise<string> => {
    const dir = path.join(real.home, 'disks');
    await mkdir(dir, { recursive: true });
    const file = path.join(dir, `with, a comma ${machines.length}.qcow2`);
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', file, '1M']);
    return file;
  };

  test('lives in a directory whose path is longer than a socket address can be', async () => {
    const dir = path.join(real.home, 'd'.repeat(100), 'e'.repeat(100));
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const machine = await launch({ dir });
    assert.equal(await machine.status(), 'running');
    const console = await machine.open('console');
    await within(once(console, 'data'), 'output on the console');
    console.destroy();
    await machine[Symbol.asyncDispose]();
    const found = await real.restarted().adopt(dir);
    assert(found && isMachine(found));
    machines.push(found);
    assert.deepEqual(found.record, machine.record);
  });

  test('has room for all its files from its start, for which its kernel would let it wait later', async () => {
    const { record } = await launch();
    const status = await readFile(`/proc/${record.vmm.pid}/status`, 'utf8');
    const room = Number(/^FDSize:\s+(\d+)$/m.exec(status)?.[1]);
    const open = (await readdir(`/proc/${record.vmm.pid}/fd`)).length;
    assert.ok(room >= 256 && open < room / 2, `${open} of ${room}`);
  });

  test('sees its disk grow while it runs', async () => {
    const file = await disk();
    const machine = await launch({
      disks: [{ serial: 'root', path: file, format: 'qcow2', readOnly: false }],
    });
    assert(isDiskGrower(machine));
    await machine.growDisk('root', 8 * 2 ** 20);
    await machine.kill();
    const info = JSON.parse((await run('qemu-img', ['info', '--output=json', file])).stdout);
    assert.equal(info['virtual-size'], 8 * 2 ** 20);
  });

  test('is refused a disk that another machine writes to', async () => {
    const disks = [{ serial: 'root', path: await disk(), format: 'qcow2', readOnly: false } as const];
    await launch({ disks });
    await assert.rejects(launch({ disks }), (error: Error) => {
      assert(withCode('vmm_failed')(error));
      assert.match(error.message, /lock/);
      return true;
    });
  });

  test('with two vCPUs, a network card and firmware instead of a kernel starts as well', async () => {
    const machine = await launch({
      cpus: 2,
      boot: { kind: 'firmware' },
      guest: 'none',
      nic: new UserNetwork().allocate('firmware', []),
      publish: [{ hostAddress: '127.0.0.1', hostPort: 0, guestPort: 22, binding: 'preferred' }],
      disks: [{ serial: 'root', path: await disk(), format: 'qcow2', readOnly: false }],
    });
    assert.equal(await machine.status(), 'running');
    await assert.rejects(machine.open('control'), withCode('not_supported'));
  });

  test('whose guest is off and whose VMM was kept starts over when it is resumed', async () => {
    const machine = await launch();
    const connect = () =>
      real.connectGuest((channel) => machine.open(channel), AbortSignal.timeout(real.bootTimeoutMs));
    const guest = await connect();
    await machine.onGuestOff('keep');
    await guest.shutdown({ graceMs: 1000 });
    await until(machine, 'shutdown', real.bootTimeoutMs);
    await guest[Symbol.asyncDispose]();
    const told: MachineStatus[] = [];
    machine.onStatus((status) => told.push(status));
    await machine.resume();
    const again = await connect();
    await again.ping();
    assert.deepEqual(told, ['running']);
    await machine.onGuestOff('exit');
    await again.shutdown({ graceMs: 1000 });
    assert.equal((await within(machine.exited, 'the end of the VMM', real.bootTimeoutMs)).code, 0);
    await again[Symbol.asyncDispose]();
  });

  test('that is not detached ends with the process that launched it', async () => {
    const spec = await real.spec({ detached: false });
    const script = `
      const { QemuDriver } = await import(${JSON.stringify(new URL('./driver.ts', import.meta.url).href)});
      const driver = new QemuDriver({ shimPath: ${JSON.stringify(real.assets.shim.path)}, accelerator: 'tcg' });
      const { record } = await driver.launch(${JSON.stringify(spec)});
      console.log(JSON.stringify(record));
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const { vmm, shim } = JSON.parse(String(line));
    assert(await isAlive(vmm));
    owner.kill('SIGKILL');
    assert(await waitUntilGone(vmm, 5_000));
    assert(await waitUntilGone(shim, 5_000));
    const exit = await real.restarted().adopt(spec.dir);
    assert(exit && !isMachine(exit));
    assert.equal(exit.signal, 'SIGKILL');
  });

  test('does not keep the process that launched it from ending', async () => {
    const spec = await real.spec();
    const script = `
      const { QemuDriver } = await import(${JSON.stringify(new URL('./driver.ts', import.meta.url).href)});
      const driver = new QemuDriver({ shimPath: ${JSON.stringify(real.assets.shim.path)}, accelerator: 'tcg' });
      await driver.launch(${JSON.stringify(spec)});`;
    await run(process.execPath, ['--input-type=module', '-e', script], { timeout: 30_000 });
    const found = await real.restarted().adopt(spec.dir);
    assert(found && isMachine(found));
    machines.push(found);
    assert.equal(await found.status(), 'running');
  });
});
