import assert from 'node:assert/strict';
import {
  copyFile,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { SavedState, SavedStateManifest } from '../drivers/driver.ts';
import { bootId } from '../host/identity.ts';
import { checkFiles, type Digests, identityOf } from './check.ts';
import { stateFiles } from './manifest.ts';

/** Of files as short as these the text itself serves. */
const digests =
  (asked: string[] = []): Digests =>
  async (files) => {
    asked.push(...files.map((file) => path.basename(file)));
    return Promise.all(
      files.map(async (file) => ({ bytes: (await stat(file)).size, digest: await readFile(file, 'utf8') })),
    );
  };

describe('the files of a saved state', () => {
  let dir: string;
  let state: SavedState;
  const memory = (): string => path.join(dir, stateFiles.memory);
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-check-'));
    for (const name of ['memory', 'delta', 'devices']) await writeFile(path.join(dir, name), `the ${name}`);
    const part = (name: string) => ({ bytes: 4 + name.length, digest: `the ${name}` });
    const manifest: Pick<SavedStateManifest, 'bootId' | 'memory' | 'delta' | 'devices'> = {
      bootId: await bootId(),
      memory: { ...part('memory'), dataBytes: 10, ...identityOf(await stat(memory(), { bigint: true })) },
      delta: { ...part('delta'), pages: 1 },
      devices: part('devices'),
    };
    state = { dir, manifest: manifest as SavedStateManifest };
  });
  afterEach(() => rm(dir, { recursive: true }));

  const refused = async (why: RegExp): Promise<void> => {
    const before = await readdir(dir);
    await assert.rejects(checkFiles(state, digests()), {
      code: 'saved_state_damaged',
      message: why,
      hint: /--cold.*Nothing was removed/,
    });
    assert.deepEqual(await readdir(dir), before);
  };

  test('are believed as they are, and memory is not read again in the same boot', async () => {
    const asked: string[] = [];
    await checkFiles(state, digests(asked));
    assert.deepEqual(asked, ['devices', 'delta']);
    const { delta: _, ...rest } = state.manifest;
    asked.length = 0;
    await checkFiles({ dir, manifest: rest }, digests(asked));
    assert.deepEqual(asked, [], 'what was found right is not read again');
  });

  test('are all read after another boot, and memory where it is another file or was changed', async () => {
    const read = async () => {
      const asked: string[] = [];
      await checkFiles(state, digests(asked));
      return asked;
    };
    const { manifest } = state;
    state = { dir, manifest: { ...manifest, bootId: 'another' } };
    assert.deepEqual(await read(), ['devices', 'delta', 'memory']);
    state = { dir, manifest };
    await utimes(memory(), 1, 1);
    assert.deepEqual(await read(), ['memory']);
    await copyFile(memory(), path.join(dir, 'copy'));
    await rename(path.join(dir, 'copy'), memory());
    assert.deepEqual(await read(), ['memory']);
  });

  test('are refused where one is missing, short or long', async () => {
    for (const name of ['devices', 'delta', 'memory']) {
      const file = path.join(dir, name);
      const text = await readFile(file);
      await truncate(file, 3);
      await refused(new RegExp(`${name} has 3 bytes instead of ${text.length}`));
      await writeFile(file, `${text}!`);
      await refused(new RegExp(`${name} has ${text.length + 1} bytes`));
      await rm(file);
      await refused(new RegExp(`${name} is missing`));
      await writeFile(file, text);
    }
    await checkFiles(state, digests());
  });

  test('are refused where one has other bytes of the same number', async () => {
    for (const name of ['devices', 'delta', 'memory']) {
      const file = path.join(dir, name);
      await writeFile(file, `The ${name}`);
      await refused(new RegExp(`${name} is not what was saved`));
      await writeFile(file, `the ${name}`);
    }
  });
});
