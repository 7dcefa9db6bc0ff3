import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { SavedStateManifest } from '../drivers/driver.ts';
import { readSavedState, stateFiles, writeManifest } from './manifest.ts';

const manifest: SavedStateManifest = {
  format: 1,
  driver: 'qemu',
  savedAt: '2026-01-01T00:00:00.000Z',
  bootId: 'boot',
  vmm: { name: 'qemu', version: '7.2.22', machine: 'pc-q35-7.2', accelerator: 'tcg', cpu: 'qemu64' },
  shape: { cpus: 1, memoryBytes: 4096, devices: ['disk:layers', 'nic'] },
  boot: { kernel: 'sha256:a', initramfs: 'sha256:b' },
  guest: { was: 'running', generation: 3, hostname: 'web', machineId: '0' },
  memory: { bytes: 4096, dataBytes: 4096, digest: 'xxh3:1', inode: '1', mtimeNs: '1' },
  devices: { bytes: 10, digest: 'xxh3:2' },
};

describe('the manifest of a saved state', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-manifest-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const write = (text: string) => writeFile(path.join(dir, stateFiles.manifest), text);

  test('is read as it was written, for its owner alone, and nothing lies beside it', async () => {
    for (const name of [stateFiles.memory, stateFiles.devices]) await writeFile(path.join(dir, name), '');
    for (const durable of [true, false]) {
      assert.deepEqual(await writeManifest(dir, manifest, { durable }), { dir, manifest });
      assert.deepEqual(await readSavedState(dir), { dir, manifest });
    }
    const delta = { pages: 1, bytes: 4120, digest: 'xxh3:3' };
    await writeManifest(dir, { ...manifest, delta }, { durable: false });
    assert.deepEqual((await readSavedState(dir))?.manifest.delta, delta);
    await writeManifest(dir, { ...manifest, tscKhz: 2_700_001 }, { durable: false });
    assert.equal((await readSavedState(dir))?.manifest.tscKhz, 2_700_001);
    assert.equal((await stat(path.join(dir, stateFiles.manifest))).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(dir)).sort(), ['devices', 'manifest.json', 'memory']);
  });

  test('of files that are not there is not written where they are to be on the disk', async () => {
    await assert.rejects(writeManifest(dir, manifest, { durable: true }), { code: 'ENOENT' });
    assert.equal(await readSavedState(dir), undefined);
  });

  test('that is not there is nothing', async () => {
    assert.equal(await readSavedState(dir), undefined);
    assert.equal(await readSavedState(path.join(dir, 'nowhere')), undefined);
    await write('{}');
    assert.equal(await readSavedState(path.join(dir, stateFiles.manifest)), undefined);
  });

  test('that is no JSON, cut off or lacks something is damaged, whatever it lacks', async () => {
    const whole = JSON.stringify(manifest);
    for (const cut of [0, 1, 20, whole.length >> 1, whole.length - 1]) {
      await write(whole.slice(0, cut));
      await assert.rejects(readSavedState(dir), { code: 'saved_state_damaged', message: /no JSON/ });
    }
    const places = Object.entries(manifest).flatMap(([name, value]) =>
      typeof value === 'object' ? Object.keys(value).map((inner) => [name, inner]) : [[name]],
    );
    /** Nobody decides anything by these. */
    const told = [
      'savedAt',
      'name',
      'was',
      'hostname',
      'machineId',
      'dataBytes',
      'inode',
      'mtimeNs',
      'format',
    ];
    for (const [outer = '', inner] of places.filter((place) => !told.includes(place.at(-1) ?? ''))) {
      for (const value of [undefined, null, -1, {}, [1]]) {
        const changed = structuredClone(manifest) as unknown as Record<string, Record<string, unknown>>;
        if (inner === undefined) changed[outer] = value as never;
        else (changed[outer] ?? {})[inner] = value;
        await write(JSON.stringify(changed));
        await assert.rejects(
          readSavedState(dir),
          { code: 'saved_state_damaged', message: new RegExp(`${dir}.*${outer}`) },
          `${outer}.${inner} is ${JSON.stringify(value)}`,
        );
      }
    }
    for (const delta of [null, {}, { bytes: 1 }, { bytes: '1', digest: 'a' }]) {
      await write(JSON.stringify({ ...manifest, delta }));
      await assert.rejects(readSavedState(dir), { code: 'saved_state_damaged' });
    }
    for (const tscKhz of [null, 'fast', -1, 2.5]) {
      await write(JSON.stringify({ ...manifest, tscKhz }));
      await assert.rejects(readSavedState(dir), { code: 'saved_state_damaged', message: /tscKhz/ });
    }
  });

  test('of another format is not ours to judge', async () => {
    for (const other of [{ ...manifest, format: 2 }, {}, null, []]) {
      await write(JSON.stringify(other));
      await assert.rejects(readSavedState(dir), { code: 'saved_state_mismatch', hint: /another version/ });
    }
    assert.deepEqual(await readdir(dir), [stateFiles.manifest]);
  });
});
