import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** What of Node a process has loaded after this. */
function builtins(body: string): string[] {
  const script = `
    await import(${JSON.stringify(import.meta.resolve('./index.ts'))});
    const { Transport } = await import(${JSON.stringify(import.meta.resolve('./transport.ts'))});
    const transport = new Transport({ socket: '/nowhere' });
    ${body}
    console.log(JSON.stringify(process.moduleLoadList));
  `;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[];
}

const request = `await transport.json('listInstances').catch(() => undefined);`;
const socket = `
  const { openSocket } = await import(${JSON.stringify(import.meta.resolve('./socket.ts'))});
  await openSocket(transport, 'tunnel', { params: { id: 'x' } }).catch(() => undefined);`;

test('who asks a daemon on this machine loads neither TLS nor undici, and with a WebSocket no undici', () => {
  const asked = builtins(request);
  assert.ok(asked.includes('NativeModule _http_client'));
  assert.deepEqual(
    asked.filter((name) => /undici|[ /]tls\b|[ /]https$/.test(name)),
    [],
  );
  assert.deepEqual(
    builtins(request + socket).filter((name) => name.includes('undici')),
    [],
  );
});
