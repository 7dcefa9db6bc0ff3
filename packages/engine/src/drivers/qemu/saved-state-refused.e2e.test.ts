import assert from 'node:assert/strict';
import { copyFile, mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ErrorCode } from '@vivarium/model';
import { stateFiles, writeManifest } from '../../saved-states/manifest.ts';
import { isMachineSaver, type Machine, type SavedState, type SavedStateManifest } from '../driver.ts';
import { shimDigests } from './digests.ts';
import { RealMachines } from './real-machines.ts';

const guest = { generation: 1, hostname: 'saved', machineId: '0'.repeat(32) };

/** A saved machine after something has happened to it, or to the QEMU at hand. */
interface Case {
  what: string;
  /** To which of the two: one with a delta is loaded in another way. */
  to: 'whole' | 'delta';
  change(dir: string, manifest: SavedStateManifest): Promise<Partial<SavedStateManifest> | undefined>;
  code: ErrorCode;
  message: RegExp;
}

/** Changes one byte of the file. */
async function flip(file: string, at: number): Promise<undefined> {
  await using handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  await handle.write(Buffer.from([~(byte[0] ?? 0)]), 0, 1, at);
}

describe('a QEMU machine is not made', () => {
  let real: RealMachines;
  const states: Partial<Record<Case['to'], SavedState>> = {};

  const ping = async (machine: Machine): Promise<void> => {
    const signal = AbortSignal.timeout(real.bootTimeoutMs);
    const connected = await real.connectGuest((channel) => machine.open(channel), signal);
    await connected.ping();
    await connected[Symbol.asyncDispose]();
  };
  const end = async (machine: Machine): Promise<void> => {
    await machine.kill();
    await machine[Symbol.asyncDispose]();
  };
  const save = async (machine: Machine, name: string): Promise<SavedState> => {
    assert(isMachineSaver(machine));
    const dir = path.join(real.home, name);
    await mkdir(dir);
    const { manifest } = await machine.save({ dir, guest, afterwards: 'stay' });
    await end(machine);
    return writeManifest(dir, manifest, { durable: false });
  };

  before(async () => {
    real = await RealMachines.open();
    const booted = await real.driver.launch(await real.spec());
    await ping(booted);
    states.whole = await save(booted, 'whole');
    const restored = await real.driver.launch(await real.spec(), undefined, states.whole);
    await ping(restored);
    states.delta = await save(restored, 'delta');
    assert(states.delta.manifest.delta);
  });
  after(() => real[Symbol.asyncDispose]());

  /** A copy that may be damaged. Its memory is another file, and read for that. */
  let count = 0;
  const copied = async ({ to, change }: Pick<Case, 'to' | 'change'>): Promise<SavedState> => {
    const from = states[to];
    assert(from);
    count += 1;
    const dir = path.join(real.home, `case-${count}`);
    await mkdir(dir);
    for (const name of await readdir(from.dir))
      await copyFile(path.join(from.dir, name), path.join(dir, name));
    const changed = await change(dir, from.manifest);
    return { dir, manifest: { ...from.manifest, ...changed } };
  };

  /** What is in `name` now is what was saved, by the manifest's word. */
  const fixed = async (dir: string, name: 'devices' | 'delta') => {
    const [found] = await shimDigests(real.assets.shim.path)([path.join(dir, name)]);
    assert(found);
    return { [name]: { pages: 1, bytes: found.bytes, digest: found.digest } };
  };

  const unknownDevice = async (dir: string) => {
    const file = path.join(dir, stateFiles.devices);
    const bytes = await readFile(file);
    const at = bytes.indexOf('timer');
    assert(at > 0);
    bytes.write('tumor', at);
    await writeFile(file, bytes);
    return fixed(dir, 'devices');
  };

  const shortened = async (dir: string) => {
    await truncate(path.join(dir, stateFiles.devices), 20_000);
    return fixed(dir, 'devices');
  };

  const mismatches: Omit<Case, 'code'>[] = (['whole', 'delta'] as const).flatMap((to) => [
    {
      what: 'whose devices QEMU does not know',
      to,
      change: unknownDevice,
      message: /can't load what.*tumor/,
    },
    {
      what: 'whose device state ends early',
      to,
      change: shortened,
      message: /can't load what.*error while loading/,
    },
    {
      what: 'that a newer QEMU saved',
      to,
      change: async (_, { vmm }) => ({ vmm: { ...vmm, version: '99.0.0' } }),
      message: /QEMU 99\.0\.0; this is \d/,
    },
  ]);

  const damages: Omit<Case, 'code'>[] = [
    {
      what: 'whose memory is missing',
      to: 'whole',
      change: async (dir) => rm(path.join(dir, stateFiles.memory)).then(() => undefined),
      message: /memory is missing/,
    },
    {
      what: 'whose memory is that of another of its size',
      to: 'whole',
      change: async (dir) => {
        await rm(path.join(dir, stateFiles.memory));
        await writeFile(path.join(dir, stateFiles.memory), '');
        await truncate(path.join(dir, stateFiles.memory), 256 * 2 ** 20);
        return undefined;
      },
      message: /memory is not what was saved/,
    },
    {
      what: 'in whose memory one byte is another',
      to: 'delta',
      change: (dir) => flip(path.join(dir, stateFiles.memory), 17 * 2 ** 20 + 5),
      message: /memory is not what was saved/,
    },
    {
      what: 'whose device state is cut off',
      to: 'whole',
      change: async (dir) => truncate(path.join(dir, stateFiles.devices), 100).then(() => undefined),
      message: /devices has 100 bytes instead of/,
    },
    {
      what: 'in whose device state one byte is another',
      to: 'delta',
      change: (dir) => flip(path.join(dir, stateFiles.devices), 4000),
      message: /devices is not what was saved/,
    },
    {
      what: 'whose delta is cut off',
      to: 'delta',
      change: async (dir) => truncate(path.join(dir, stateFiles.delta), 4120).then(() => undefined),
      message: /delta has 4120 bytes instead of/,
    },
    {
      what: 'whose delta is none, by its digest too',
      to: 'delta',
      change: async (dir) => {
        await flip(path.join(dir, stateFiles.delta), 0);
        return fixed(dir, 'delta');
      },
      message: /delta/,
    },
  ];

  const cases: Case[] = [
    ...mismatches.map((one) => ({ ...one, code: 'saved_state_mismatch' as const })),
    ...damages.map((one) => ({ ...one, code: 'saved_state_damaged' as const })),
  ];

  for (const { what, to, change, code, message } of cases) {
    test(`from a state ${to === 'delta' ? 'with a delta ' : ''}${what}: ${code}, and nothing is touched`, async () => {
      const state = await copied({ to, change });
      const before = await readdir(state.dir);
      const spec = await real.spec();
      await assert.rejects(real.driver.launch(spec, undefined, state), { code, message });
      assert.deepEqual(await real.leftovers(), []);
      assert.deepEqual(await readdir(state.dir), before);
      assert.deepEqual(
        (await readdir(spec.dir)).filter((name) => !name.endsWith('.log')),
        [],
      );
    });
  }

  test('only by the QEMU that saved it: a newer one may as well', async () => {
    for (const to of ['whole', 'delta'] as const) {
      const older = async (_: string, { vmm }: SavedStateManifest) => ({ vmm: { ...vmm, version: '6.2.0' } });
      const state = await copied({ to, change: older });
      const machine = await real.driver.launch(await real.spec(), undefined, state);
      await ping(machine);
      await end(machine);
    }
  });
});
