import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { killProcess, readIdentity, waitUntilGone } from '../../host/identity.ts';
import { findQemu } from '../../host/qemu.ts';
import { isMachine, withCode, within } from '../conformance/bench.ts';
import type { Machine, MachineSpec } from '../driver.ts';
import { eventually } from '../provoked/stage.ts';
import type { QemuDriver } from './driver.ts';
import { RealMachines } from './real-machines.ts';
import { zygoteSocket } from './zygote.ts';

const status = async (pid: number): Promise<Record<string, string>> => {
  const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
};

const commandLine = async (pid: number): Promise<string[]> =>
  (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replace(/\0+$/, '').split('\0');

/** What it has open, by kind: no number of an inode or a socket, and nothing of the directory it works in. */
async function opened(pid: number, dir: string): Promise<string[]> {
  const targets = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map(async (fd) => {
      const target = await readlink(`/proc/${pid}/fd/${fd}`);
      const kind = target.replace(dir, '').replace(/:\[\d+\]$/, '');
      // Where QEMU puts its own files is its own affair.
      return Number(fd) <= 5 ? `${fd}: ${kind}` : kind;
    }),
  );
  return targets.sort();
}

/** All that a process has from whoever made it. */
async function inherited({ record: { dir, vmm, shim, instanceId } }: Machine) {
  const has = await status(vmm.pid);
  const kept = ['Umask', 'Uid', 'Gid', 'SigIgn', 'SigCgt', 'SigBlk', 'Seccomp', 'NoNewPrivs', 'CapEff'];
  const stat = (await readFile(`/proc/${vmm.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return {
    ...Object.fromEntries(kept.map((name) => [name, has[name]])),
    name: has.Name,
    isChildOfShim: Number(has.PPid) === shim.pid,
    leadsGroupAndSession: stat[2] === String(vmm.pid) && stat[3] === String(vmm.pid),
    limits: await readFile(`/proc/${vmm.pid}/limits`, 'utf8'),
    directory: (await readlink(`/proc/${vmm.pid}/cwd`)) === dir,
    program: await readlink(`/proc/${vmm.pid}/exe`),
    // Each driver measures how fast the host counts for itself.
    commandLine: (await commandLine(vmm.pid)).map((argument) =>
      argument.replace(instanceId, 'ID').replace(/tsc_early_khz=\d+/, 'tsc_early_khz=N'),
    ),
    opened: await opened(vmm.pid, dir),
    oom: await readFile(`/proc/${vmm.pid}/oom_score_adj`, 'utf8'),
    nice: stat[16],
  };
}

describe('a zygote', () => {
  let real: RealMachines;
  let dir: string;
  const machines: Machine[] = [];
  const ends: AsyncDisposable[] = [];
  before(async () => {
    real = await RealMachines.open();
    dir = await mkdtemp(path.join(tmpdir(), 'viv-zygote-'));
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) {
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
    for (const end of ends.splice(0)) await end[Symbol.asyncDispose]();
  });
  after(async () => {
    await real[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  const attended = async (): Promise<{ driver: QemuDriver; pid: number }> => {
    const driver = real.restarted();
    const attendance = driver.attend(dir);
    ends.push(attendance);
    await attendance.ready;
    return { driver, pid: await zygote() };
  };

  /** By what it works in: its socket does not say who listens. */
  const zygotes = async (): Promise<number[]> => {
    const found = await Promise.all(
      (await readdir('/proc')).filter(Number).map(async (pid) => {
        const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => ''); // it has ended since
        return cwd === dir ? [Number(pid)] : [];
      }),
    );
    return found.flat();
  };

  const zygote = async (): Promise<number> => {
    const [pid, ...others] = await zygotes();
    assert(pid !== undefined && others.length === 0, 'there is one');
    return pid;
  };

  const launch = async (driver: QemuDriver, overrides: Partial<MachineSpec> = {}): Promise<Machine> => {
    const machine = await driver.launch(await real.spec(overrides));
    machines.push(machine);
    return machine;
  };

  const madeOf = async (pid: number, { record }: Machine): Promise<boolean> =>
    Number((await status(record.shim.pid)).PPid) === pid;

  test('makes VMMs that differ from others in nothing they were given', async () => {
    const { driver, pid } = await attended();
    assert.deepEqual(await commandLine(pid), ['viv-zygote']);
    // A guest that runs has its VMM open more when it likes.
    const made = await launch(driver, { run: false });
    const spawned = await launch(real.restarted(), { run: false });
    for (const machine of [made, spawned]) assert.equal(await machine.status(), 'created');
    assert(await madeOf(pid, made));
    assert(!(await madeOf(pid, spawned)));
    assert.deepEqual(await inherited(made), await inherited(spawned));
  });

  test('shares with them what it has written, so that each takes less of its own', async () => {
    const { driver } = await attended();
    const own = async (machine: Machine) => {
      const rollup = await readFile(`/proc/${machine.record.vmm.pid}/smaps_rollup`, 'utf8');
      return Number(/^Private_Dirty:\s+(\d+)/m.exec(rollup)?.[1]) / 1024;
    };
    // What runs goes on to write.
    const made = await launch(driver, { run: false });
    const spawned = await launch(real.restarted(), { run: false });
    assert((await own(made)) < (await own(spawned)));
  });

  test('that is killed is replaced, and its VMs live on', async () => {
    const { driver, pid } = await attended();
    const first = await launch(driver);
    const identity = await readIdentity(pid);
    assert(identity && (await killProcess(identity)));
    assert.equal(await first.status(), 'running');
    const between = await launch(driver);
    assert(!(await madeOf(pid, between)));
    await eventually('another one', async () => (await zygotes()).length === 1 || undefined);
    const next = await zygote();
    await eventually(
      'its VMMs',
      async () => (await madeOf(next, await launch(driver, { run: false }))) || undefined,
    );
    assert.equal((await first.kill()).signal, 'SIGKILL');
  });

  test('that does not answer is given up, and the VM starts without it', async () => {
    const { driver, pid } = await attended();
    process.kill(pid, 'SIGSTOP');
    const machine = await launch(driver);
    assert.equal(await machine.status(), 'running');
    assert.equal(await readIdentity(pid), undefined);
  });

  test('ends with the driver, whose VMs it leaves alone', async () => {
    const { driver } = await attended();
    const machine = await launch(driver);
    for (const end of ends.splice(0)) await end[Symbol.asyncDispose]();
    assert.deepEqual([await zygotes(), existsSync(path.join(dir, zygoteSocket))], [[], false]);
    assert.equal(await machine.status(), 'running');
    await machine[Symbol.asyncDispose]();
    const found = await real.restarted().adopt(machine.record.dir);
    assert(found !== undefined && isMachine(found));
    machines.splice(0, 1, found);
    assert.deepEqual(found.record, machine.record);
  });

  test('is another one after a VMM has crashed: none shares its layout with what may have been attacked', async () => {
    const { driver, pid } = await attended();
    const machine = await launch(driver);
    process.kill(machine.record.vmm.pid, 'SIGSEGV');
    assert.equal((await within(machine.exited, 'the end')).signal, 'SIGSEGV');
    await eventually('its end', async () => !(await zygotes()).includes(pid) || undefined);
    const layout = async (of: number) =>
      /^[0-9a-f]+/.exec(await readFile(`/proc/${of}/maps`, 'utf8'))?.[0] ?? '';
    await eventually('VMMs of another one', async () => {
      const next = await launch(driver, { run: false });
      return ((await zygotes()).length === 1 && (await madeOf(await zygote(), next))) || undefined;
    });
    const last = machines.at(-1);
    assert(last !== undefined);
    assert.equal(await layout(last.record.vmm.pid), await layout(await zygote()));
  });

  test('of a VMM that ends before it has a command line is no trace left', async () => {
    const { driver } = await attended();
    const held = await launch(driver, { run: false });
    // The shim finds another one in the directory before it comes to its VMM.
    await assert.rejects(
      driver.launch(await real.spec({ dir: held.record.dir, instanceId: held.record.instanceId })),
      withCode('conflict'),
    );
    await eventually('only the zygote works there', async () => (await zygotes()).length === 1 || undefined);
    assert.equal(await held.status(), 'created');
  });

  /** A program of its own that attends, launches, says what, and goes on as told. */
  const program = (spec: MachineSpec, then: string): string => `
    const { QemuDriver } = await import(${JSON.stringify(new URL('./driver.ts', import.meta.url).href)});
    const [shimPath, zygotePath] = ${JSON.stringify([real.assets.shim.path, real.assets.zygote.path])};
    const driver = new QemuDriver({ shimPath, zygotePath, accelerator: 'tcg' });
    await driver.attend(${JSON.stringify(dir)}).ready;
    const { record } = await driver.launch(${JSON.stringify(spec)});
    console.log(JSON.stringify(record));
    ${then}`;

  test('ends with its owner, and so does what was not to outlive that', async () => {
    const spec = await real.spec({ detached: false });
    const owner = spawn(
      process.execPath,
      ['--input-type=module', '-e', program(spec, 'setInterval(() => {}, 1000)')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const { vmm, shim } = JSON.parse(String(line));
    const [own, asZygote] = [await readIdentity(shim.pid), await readIdentity(await zygote())];
    assert(own && asZygote && Number((await status(shim.pid)).PPid) === asZygote.pid);
    owner.kill('SIGKILL');
    for (const one of [vmm, shim, asZygote]) assert(await waitUntilGone(one, 5_000));
    const exit = await real.restarted().adopt(spec.dir);
    assert(exit && !isMachine(exit));
    assert.equal(exit.signal, 'SIGKILL');
  });

  test('keeps no owner from ending, and no VM that outlives it', async () => {
    const spec = await real.spec();
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', program(spec, '')],
      { timeout: 30_000 },
    );
    await eventually('the end of the zygote', async () => (await zygotes()).length === 0 || undefined);
    const found = await real.restarted().adopt(spec.dir);
    assert(found && isMachine(found));
    machines.push(found);
    assert.deepEqual([found.record, await found.status()], [JSON.parse(stdout), 'running']);
  });

  test('is made whatever the path of its library has in it', async () => {
    const library = path.join(dir, 'a blank: and a colon', 'libviv_zygote.so');
    await mkdir(path.dirname(library));
    await copyFile(real.assets.zygote.path, library);
    const driver = real.restarted({ zygotePath: library });
    const attendance = driver.attend(dir);
    ends.push(attendance);
    await attendance.ready;
    assert(await madeOf(await zygote(), await launch(driver)));
    assert.deepEqual((await readdir(dir)).sort(), ['a blank: and a colon', zygoteSocket]);
  });

  test('can be made of no script, which says so and is no hindrance', async () => {
    const script = path.join(dir, 'qemu.sh');
    const [calls, qemu] = [path.join(dir, 'calls'), (await findQemu()).path];
    await writeFile(script, `#!/bin/sh\necho "$1" >> '${calls}'\nexec ${qemu} "$@"\n`);
    await chmod(script, 0o755);
    const driver = real.restarted({ qemuPath: script });
    const attendance = driver.attend(dir);
    ends.push(attendance);
    await assert.rejects(attendance.ready, withCode('not_supported'));
    assert.equal(await (await launch(driver)).status(), 'running');
    assert.deepEqual(await zygotes(), []);
    // Asked what it is, and run for the VM: never to become one.
    assert.deepEqual((await readFile(calls, 'utf8')).trim().split('\n').sort(), [
      '--version',
      '-machine',
      '-name',
    ]);
    for (const file of [script, calls]) await rm(file);
  });
});
