import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { bootId } from './identity.ts';
import { tscKhz } from './tsc.ts';

describe('the rate of the time stamp counter', () => {
  let dir: string;
  let cache: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-tsc-'));
    cache = path.join(dir, 'cache');
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** A shim that notes that it was asked. */
  async function shim(answer: string): Promise<string> {
    const file = path.join(dir, 'shim');
    await writeFile(file, `#!/bin/sh\necho "$1" >> '${dir}/asked'\n${answer}\n`);
    await chmod(file, 0o755);
    return file;
  }
  const asked = async () => (await readFile(path.join(dir, 'asked'), 'utf8')).split('\n').length - 1;

  test('is measured once in a boot of the host', async () => {
    const file = await shim(`echo '{"khz":2700001}'`);
    assert.equal(await tscKhz(file, cache), 2_700_001);
    assert.equal(await tscKhz(file, cache), 2_700_001);
    assert.equal(await asked(), 1);
    assert.deepEqual(await readdir(cache), ['tsc.json']);
    await writeFile(path.join(cache, 'tsc.json'), '{"bootId":"another","khz":1}');
    assert.equal(await tscKhz(file, cache), 2_700_001);
    assert.equal(await asked(), 2);
  });

  test('is measured again where what was kept can not be read', async () => {
    const file = await shim(`echo '{"khz":2700001}'`);
    const boot = await bootId();
    await tscKhz(file, cache);
    for (const kept of ['', '{"bo', '{}', JSON.stringify({ bootId: boot, khz: 'fast' })]) {
      await writeFile(path.join(cache, 'tsc.json'), kept);
      assert.equal(await tscKhz(file, cache), 2_700_001, kept);
    }
    assert.equal(await asked(), 5);
  });

  test('is not known where guests can not go by it, and that is not kept', async () => {
    assert.equal(await tscKhz(await shim(`echo '{"why":"it has none"}'`), cache), undefined);
    assert.equal(await tscKhz(await shim(`echo '{"khz":0}'`), cache), undefined);
    assert.equal(await tscKhz(await shim(`echo '{"khz":1000}'`), cache), 1000);
  });

  test('that can not be asked for is a failure', async () => {
    await assert.rejects(tscKhz(await shim('exit 1'), cache), { code: 'internal' });
    await assert.rejects(tscKhz(await shim('echo fast'), cache), { code: 'internal' });
    await assert.rejects(tscKhz(path.join(dir, 'nowhere'), cache), { code: 'assets_missing' });
  });
});
