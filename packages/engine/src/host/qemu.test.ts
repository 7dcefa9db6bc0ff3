import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chooseMachine, findProgram, findQemu } from './qemu.ts';

describe('QEMU on this host', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-find-'));
  });
  after(() => rm(dir, { recursive: true }));

  const script = async (name: string, text: string, mode = 0o755) => {
    await writeFile(path.join(dir, name), `#!/bin/sh\n${text}\n`, { mode });
    return path.join(dir, name);
  };
  const machines = 'pc-q35-8.0   Standard PC\npc-q35-7.2   Standard PC\npc-i440fx-9.0  Old\n';
  const qemu = (version: string) =>
    `case "$1" in --version) echo 'QEMU emulator version ${version} (Debian)';; *) printf '${machines}';; esac`;

  test('that is missing is vmm_missing with a hint', async () => {
    await assert.rejects(findQemu(path.join(dir, 'none')), { code: 'vmm_missing', hint: /Install QEMU/ });
    assert.equal(await findProgram('no-such-program'), undefined);
    assert.equal(await findProgram(await script('plain', '', 0o644)), undefined);
  });

  test('that is too old, or no QEMU at all, is vmm_missing', async () => {
    await assert.rejects(findQemu(await script('old', qemu('7.1.0'))), {
      code: 'vmm_missing',
      message: /too old/,
    });
    await assert.rejects(findQemu(await script('other', 'echo hello')), {
      code: 'vmm_missing',
      message: /no QEMU/,
    });
    await assert.rejects(findQemu(await script('broken', 'exit 1')), {
      code: 'vmm_missing',
      message: /cannot be run/,
    });
  });

  test('is known with its version and the machine that is pinned', async () => {
    const file = await script('new', qemu('10.0.2'));
    assert.deepEqual(await findQemu(file), { path: file, version: '10.0.2', machine: 'pc-q35-7.2' });
  });

  test('is looked for again once it has gone, and asked again once it has changed', async () => {
    const file = await script('coming', qemu('9.0.0'));
    assert.equal((await findQemu(file)).version, '9.0.0');
    await script('coming', qemu('10.0.1'));
    assert.equal((await findQemu(file)).version, '10.0.1');
    await rm(file);
    await assert.rejects(findQemu(file), { code: 'vmm_missing', message: /is not installed/ });
    await script('coming', qemu('9.0.0'));
    assert.equal((await findQemu(file)).version, '9.0.0');
  });

  test('without the tried machine gives its newest q35, by number', () => {
    assert.equal(chooseMachine('pc-q35-9.1  a\npc-q35-10.0  a\npc-i440fx-11.0  a\n'), 'pc-q35-10.0');
    assert.equal(chooseMachine('microvm  a\n'), undefined);
  });
});
