import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { call } from './testing/http.ts';

const program = path.resolve(import.meta.dirname, 'main.ts');

interface WireSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: { key: string; value: { stringValue?: string } }[];
}

async function startDaemon(home: string, env: Record<string, string>): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, '--home', home, '--driver', 'simulated'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env, VIVD_READY_FD: '' },
  });
  await once(child.stdout, 'data');
  return child;
}

test('the steps of an operation reach a collector as spans of its caller’s trace, and its end the log', async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'vivd-'));
  const bodies: string[] = [];
  const collector = createServer(async (incoming, outgoing) => {
    bodies.push(await text(incoming));
    outgoing.setHeader('content-type', 'application/json').end('{}');
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  const daemon = await startDaemon(home, { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  try {
    const traceId = 'a'.repeat(32);
    const made = await call(path.join(home, 'vivd.sock'), 'POST', '/instances', {
      body: { image: 'busybox', name: 'traced' },
      headers: { traceparent: `00-${traceId}-${'b'.repeat(16)}-01`, 'x-request-id': 'mine.1' },
    });
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers['x-request-id'], 'mine.1');
    daemon.kill('SIGTERM');
    await once(daemon, 'exit');
    const spans: WireSpan[] = bodies.flatMap((body) =>
      JSON.parse(body).resourceSpans.flatMap((one: { scopeSpans: { spans: WireSpan[] }[] }) =>
        one.scopeSpans.flatMap((scope) => scope.spans),
      ),
    );
    const named = (name: string) => spans.find((span) => span.name === name && span.traceId === traceId);
    const [run, create, start] = ['run', 'create', 'start'].map((action) => named(`vivarium.${action}`));
    assert.equal(run?.parentSpanId, 'b'.repeat(16));
    assert.deepEqual([create?.parentSpanId, start?.parentSpanId], [run?.spanId, run?.spanId]);
    const steps = spans.filter(({ parentSpanId }) => parentSpanId === start?.spanId).map(({ name }) => name);
    assert.ok(steps.length > 1, `${steps}`);
    const attribute = (span: WireSpan | undefined, key: string) =>
      span?.attributes.find((one) => one.key === key)?.value.stringValue;
    assert.equal(attribute(start, 'vivarium.instance.name'), 'traced');
    assert.equal(attribute(run, 'vivarium.operation.state'), 'done');
    const log = readFileSync(path.join(home, 'vivd.log'), 'utf8').trimEnd().split('\n');
    const ended = log.map((one) => JSON.parse(one)).filter(({ message }) => message === 'operation');
    const line = ended.find(({ action }) => action === 'start');
    assert.deepEqual(
      [line.operation, line.state, line.request, line.name],
      [attribute(start, 'vivarium.operation.id'), 'done', 'mine.1', 'traced'],
    );
  } finally {
    if (daemon.exitCode === null) daemon.kill('SIGKILL');
    collector.close();
    rmSync(home, { recursive: true, force: true });
  }
});
