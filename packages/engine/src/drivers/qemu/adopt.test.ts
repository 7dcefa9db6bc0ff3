import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isAlive, readIdentity } from '../../host/identity.ts';
import type { ExitRecord, ProcessIdentity } from '../driver.ts';
import { adopt } from './adopt.ts';

const machine = {
  format: 1,
  vmmName: 'qemu',
  vmmVersion: '7.2.0',
  accelerator: 'tcg',
  machine: 'x',
  guestPorts: [],
};

/** Directories as they are found after a crash, without a shim that lives. */
/** Nothing is saved here. */
const unused = { digests: async () => [], readMemory: 'shim' } as const;

describe('adoption', () => {
  let dir: string;
  let bystander: ReturnType<typeof spawn>;
  let living: ProcessIdentity;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-adopt-'));
    bystander = spawn('sleep', ['1000'], { stdio: 'ignore' });
    living = (await readIdentity(bystander.pid ?? 0)) as ProcessIdentity;
  });
  afterEach(async () => {
    bystander.kill('SIGKILL');
    await rm(dir, { recursive: true });
  });

  const leave = async (shim: ProcessIdentity, vmm?: ProcessIdentity) => {
    const spell = (who: ProcessIdentity) => ({
      pid: who.pid,
      start_time: who.startTime,
      boot_id: who.bootId,
    });
    await writeFile(path.join(dir, 'machine.json'), JSON.stringify(machine));
    await writeFile(path.join(dir, 'launch.json'), '{}');
    const record = { format: 1, instance_id: 'a', shim: spell(shim), ports: [], launched_at: 'x' };
    await writeFile(
      path.join(dir, 'shim.json'),
      JSON.stringify({ ...record, ...(vmm ? { vmm: spell(vmm) } : {}) }),
    );
  };

  const strangers: [what: string, change: (who: ProcessIdentity) => ProcessIdentity][] = [
    ['a pid that was given to another process since', (who) => ({ ...who, startTime: who.startTime - 1 })],
    [
      'a pid of an earlier boot of the host',
      (who) => ({ ...who, bootId: '00000000-0000-0000-0000-000000000000' }),
    ],
  ];
  for (const [what, change] of strangers) {
    test(`of a record with ${what} finds an end that nobody saw, and leaves that process alone`, async () => {
      await leave(change(living), change(living));
      const exit = (await adopt(dir, unused)) as ExitRecord;
      assert.equal(exit.unobserved, true);
      assert.deepEqual(await adopt(dir, unused), exit);
      assert(await isAlive(living));
    });
  }

  test('of a record whose VMM was never named finds an end that nobody saw', async () => {
    await leave({ ...living, startTime: 1 });
    assert.equal(((await adopt(dir, unused)) as ExitRecord).unobserved, true);
  });

  test('prefers what the shim wrote down', async () => {
    await leave({ ...living, startTime: 1 }, { ...living, startTime: 1 });
    await writeFile(path.join(dir, 'exit.json'), '{"code":3,"at":"2026-01-01T00:00:00Z","stderr":"no"}');
    assert.deepEqual(await adopt(dir, unused), { code: 3, at: '2026-01-01T00:00:00Z', stderr: 'no' });
  });

  test('keeps the last words of the VMM, at most 4 KiB', async () => {
    await leave({ ...living, startTime: 1 }, { ...living, startTime: 1 });
    await writeFile(path.join(dir, 'vmm.log'), `${'x'.repeat(10_000)}the end`);
    const { stderr } = (await adopt(dir, unused)) as ExitRecord;
    assert.equal(stderr.length, 4096);
    assert(stderr.endsWith('the end'));
    assert.match(await readFile(path.join(dir, 'exit.json'), 'utf8'), /"unobserved":true/);
  });

  test('finds nothing where nothing was launched, and says so where a record is damaged', async () => {
    assert.equal(await adopt(dir, unused), undefined);
    assert.equal(await adopt(path.join(dir, 'nowhere'), unused), undefined);
    await leave(living);
    await writeFile(path.join(dir, 'shim.json'), '{"half');
    await assert.rejects(adopt(dir, unused), { code: 'internal', message: /shim\.json is damaged/ });
  });
});
