import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { SavedState, SavedStateManifest } from '../drivers/driver.ts';
import { bootId } from '../host/identity.ts';
import { checkFiles } from './check.ts';

async function stateIn(dir: string): Promise<SavedState> {
  await writeFile(path.join(dir, 'memory'), 'pages');
  await writeFile(path.join(dir, 'devices'), 'state');
  const manifest = {
    bootId: await bootId(),
    memory: { bytes: 5, digest: 'of memory', inode: '0', mtimeNs: '0' },
    devices: { bytes: 5, digest: 'of devices' },
  };
  return { dir, manifest: manifest as unknown as SavedStateManifest };
}

test('What was found right is not read again until it has changed', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-check-'));
  try {
    const state = await stateIn(dir);
    const hashed: string[] = [];
    const digests = async (files: readonly string[]) =>
      files.map((file) => {
        hashed.push(path.basename(file));
        return { bytes: 5, digest: `of ${path.basename(file)}` };
      });
    await checkFiles(state, digests);
    await checkFiles(state, digests);
    assert.deepEqual(hashed, ['devices', 'memory']);
    await writeFile(path.join(dir, 'devices'), 'other');
    await checkFiles(state, digests);
    assert.deepEqual(hashed, ['devices', 'memory', 'devices']);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('What is not what was saved is refused each time', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-check-'));
  try {
    const state = await stateIn(dir);
    const digests = async (files: readonly string[]) => files.map(() => ({ bytes: 5, digest: 'other' }));
    for (let time = 0; time < 2; time++) {
      await assert.rejects(checkFiles(state, digests), { code: 'saved_state_damaged' });
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
