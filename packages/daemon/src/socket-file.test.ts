import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { listenOn } from './socket-file.ts';

/** A thousand, or as many as this host lets wait. */
const many = Math.min(1000, Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')));

test('clients that come before any of them is accepted are all let in', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'backlog-'));
  const server = createServer();
  const socket = path.join(dir, 'vivd.sock');
  const listening = await listenOn(server, socket);
  try {
    // All connect in this turn of the loop, in which nobody accepts.
    const clients = Array.from({ length: many }, () => connect(socket));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    for (const client of clients) client.destroy();
  } finally {
    listening.release();
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true });
  }
});
