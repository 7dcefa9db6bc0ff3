import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { QemuInfo } from '../../host/qemu.ts';
import { Zygote, zygoteSocket } from './zygote.ts';
import { Zygotes } from './zygotes.ts';

/** What the child of a zygote says first. It is long gone. */
const who = '{"pid":4194304,"start_time":1}\n';

/** The launcher's half of the conversation with a child of the zygote, which the test plays. */
describe('a shim that is asked of a zygote', () => {
  let dir: string;
  let zygote: Zygote;
  let server: Server;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-asks-'));
    const standIn = path.join(dir, 'stand-in');
    await writeFile(standIn, '#!/bin/sh\necho ready\nexec sleep 60\n');
    await chmod(standIn, 0o755);
    zygote = await Zygote.start({ qemuPath: '/qemu', shimPath: standIn, library: '/none', dir });
    server = createServer().listen(path.join(dir, zygoteSocket));
    await once(server, 'listening');
  });
  afterEach(async () => {
    await zygote[Symbol.asyncDispose]();
    server.close();
    await rm(dir, { recursive: true });
  });

  /** All that is written to the child, once the launcher has hung up. */
  const heard = (socket: Socket): Promise<string> => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    // Of one that hung up on what it had not read.
    socket.on('error', () => undefined);
    return new Promise((resolve) => socket.once('close', () => resolve(text)));
  };

  test('is told where to begin once it has said who it is', async () => {
    const asked = zygote.shim('/machine', true);
    const [child] = (await once(server, 'connection')) as [Socket];
    const told = heard(child);
    child.write(who);
    const shim = await asked;
    child.write('{"ok":false,"error":{"code":"port_in_use","message":"taken"}}\n');
    await assert.rejects(async () => shim?.announcement(), { code: 'port_in_use' });
    shim?.release();
    assert.equal(await told, '/machine\n');
  });

  test('and is given up before that has never been told', async () => {
    const cancel = new AbortController();
    const asked = zygote.shim('/machine', true, cancel.signal);
    const [child] = (await once(server, 'connection')) as [Socket];
    const told = heard(child);
    // The launcher has come to where it waits for that; it is said, and not read.
    for (let turns = 0; turns < 10; turns += 1) await setImmediate();
    child.write(who, () => cancel.abort(new Error('enough')));
    await assert.rejects(asked, /enough/);
    assert.equal(await told, '');
  });

  test('and says something else is none, and neither is the zygote any more', async () => {
    const asked = zygote.shim('/machine', true);
    const [child] = (await once(server, 'connection')) as [Socket];
    const told = heard(child);
    child.write('{"ok":false,"error":{"code":"vmm_failed","message":"fork: no"}}\n');
    assert.equal(await asked, undefined);
    assert.equal(await told, '');
    await zygote.ended;
  });
});

describe('a zygote that there could not be', () => {
  let dir: string;
  let zygotes: Zygotes;
  const qemu = { path: process.execPath } as QemuInfo;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-asks-'));
  });
  afterEach(async () => {
    await zygotes[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  /** Ends at once, but not the second time. */
  const failingOnce = async (options: { retryAfterMs?: number } = {}): Promise<void> => {
    const shimPath = path.join(dir, 'stand-in');
    const script = 'if mkdir tried; then exit 1; fi 2>/dev/null\necho ready\nexec sleep 60\n';
    await writeFile(shimPath, `#!/bin/sh\n${script}`);
    await chmod(shimPath, 0o755);
    zygotes = new Zygotes({ shimPath, library: '/none', dir, ...options });
    await assert.rejects(zygotes.begin(qemu), /ended instead of standing still/);
  };

  test('is tried again by a start after a while', async () => {
    await failingOnce({ retryAfterMs: 0 });
    assert.equal(await zygotes.shim(qemu, dir, false), undefined);
    await zygotes.begin(qemu);
  });

  test('is not tried again before', async () => {
    await failingOnce();
    assert.equal(await zygotes.shim(qemu, dir, false), undefined);
    await assert.rejects(zygotes.begin(qemu), /ended instead of standing still/);
  });
});
