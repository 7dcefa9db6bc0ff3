import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { RemoteImages } from './images.ts';
import { Transport } from './transport.ts';

test('an upload that goes on by itself keeps the key it was given', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'images-'));
  const archive = path.join(dir, 'app.tar');
  writeFileSync(archive, 'layers');
  const asked: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer(async (request, answer) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    asked.push({ headers: request.headers, body });
    const report = { id: 'op-1', action: 'import', state: 'pending', created_at: '2026-01-01T00:00:00Z' };
    answer.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify(report));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const transport = new Transport({ url: new URL(`http://127.0.0.1:${port}`) });
  try {
    const images = new RemoteImages(transport);
    const report = await images.import(archive, { idempotencyKey: 'mine' }).detach();
    assert.equal(report.id, 'op-1');
    assert.deepEqual(
      asked.map(({ headers, body }) => [headers['idempotency-key'], headers.prefer, body]),
      [['mine', 'respond-async', 'layers']],
    );
  } finally {
    transport.close();
    server.close();
    rmSync(dir, { recursive: true });
  }
});
