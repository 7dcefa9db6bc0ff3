import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** What of Node a process has loaded that imports the SDK, and what an exec loads besides. */
function builtins(): string[] {
  const script = `
    await import(${JSON.stringify(import.meta.resolve('./index.ts'))});
    const { Transport } = await import(${JSON.stringify(import.meta.resolve('./transport.ts'))});
    await import(${JSON.stringify(import.meta.resolve('./exec-link.ts'))});
    const { openSocket } = await import(${JSON.stringify(import.meta.resolve('./socket.ts'))});
    const transport = new Transport({ socket: '/nowhere' });
    await openSocket(transport, 'tunnel', { params: { id: 'x' } }).catch(() => undefined);
    console.log(JSON.stringify(process.moduleLoadList));
  `;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[];
}

test('who talks to a daemon on this machine loads neither TLS and all certificates nor undici', () => {
  const loaded = builtins();
  assert.ok(loaded.includes('NativeModule _http_client'));
  assert.deepEqual(
    loaded.filter((name) => /undici|[ /]tls\b|[ /]https$/.test(name)),
    [],
  );
});
