import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { call } from '../testing/http.ts';
import { startProgram } from '../testing/program.ts';

const many = 1000;
/** Kilobytes of the daemon for each idle socket; about 20 are used. */
const most = 64;

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

test('a thousand idle sockets cost little, slow nobody down, and leave nothing behind', async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'idle-'));
  const daemon = await startProgram(home);
  try {
    const pid = daemon.child.pid ?? 0;
    const made = await call(daemon.socket, 'POST', '/instances', {
      body: { image: 'busybox', name: 'host' },
    });
    assert.equal(made.status, 201, made.text);
    const before = residentKb(pid);
    const sockets = await Promise.all(
      Array.from({ length: many }, async (_, n) => {
        const route = n % 2 === 0 ? 'exec' : 'console';
        const socket = new WebSocket(`ws+unix://${daemon.socket}:/instances/host/${route}`);
        await once(socket, 'open');
        return socket;
      }),
    );
    const each = (residentKb(pid) - before) / many;
    assert.ok(each < most, `${each.toFixed(1)} KB for each socket`);
    const took: number[] = [];
    for (let n = 0; n < 50; n++) {
      const start = performance.now();
      assert.equal((await call(daemon.socket, 'GET', '/instances')).status, 200);
      took.push(performance.now() - start);
    }
    const median = took.sort((a, b) => a - b)[25] ?? NaN;
    assert.ok(median < 100, `a listing took ${median.toFixed(1)} ms`);
    for (const socket of sockets) socket.terminate();
    await Promise.all(sockets.map((socket) => once(socket, 'close')));
    assert.equal((await call(daemon.socket, 'DELETE', '/instances/host')).status, 204);
  } finally {
    await daemon.end('SIGTERM');
    rmSync(home, { recursive: true });
  }
});
