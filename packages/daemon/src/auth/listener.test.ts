import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { parseOptions } from '../options.ts';
import { testTls } from '../testing/tls/tls.ts';
import { namesOf, requireSafe } from './listener.ts';

const refused = (words: RegExp) => (error: unknown) =>
  isVivError(error, 'invalid_request') && words.test(`${error.message} ${error.hint}`);

test('an address that the network can reach is refused without TLS', () => {
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'vms.example']) {
    assert.throws(() => requireSafe({ host, port: 0 }), refused(/TLS.*--tls-cert/), host);
    requireSafe({ host, port: 0, tls: testTls });
  }
  for (const host of ['127.0.0.1', '::1', 'localhost']) requireSafe({ host, port: 0 });
});

test('a listener goes by the names of its certificate', () => {
  assert.deepEqual(namesOf({ host: 'LOCALHOST', port: 0 }), ['localhost']);
  assert.deepEqual(namesOf({ host: '0.0.0.0', port: 0, tls: testTls }), [
    '0.0.0.0',
    'localhost',
    'vms.test',
    '127.0.0.1',
  ]);
  assert.throws(
    () => namesOf({ host: '::', port: 0, tls: { ...testTls, cert: 'none' } }),
    refused(/certificate/),
  );
});

test('the command line is read to its last word, and what is wrong in it is said', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'options-'));
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(dir, name)) as [string, string];
  writeFileSync(cert, testTls.cert);
  writeFileSync(key, testTls.key);
  const words =
    `--home ${dir} --driver simulated --listen [::]:8443 --tls-cert ${cert} --tls-key ${key} --allow-host VMs.example ` +
    '--allow-host b --allow-origin https://UI.example/ --rate-limit 0.5:10';
  assert.deepEqual(parseOptions(words.split(' '), { VIVD_TOKEN: 's' }), {
    home: dir,
    driver: 'simulated',
    tcp: { host: '::', port: 8443, token: 's', tls: testTls },
    hosts: ['vms.example', 'b'],
    origins: ['https://ui.example'],
    rate: { perSecond: 0.5, burst: 10 },
  });
  assert.ok('help' in parseOptions(['--help'], {}));
  for (const [line, message] of [
    ['--listen 8443', /HOST:PORT/],
    ['--listen a:99999', /HOST:PORT/],
    [`--listen a:1 --tls-cert ${cert}`, /both/],
    [`--listen a:1 --tls-cert ${cert} --tls-key /nonexistent`, /nonexistent/],
    [`--tls-cert ${cert} --tls-key ${key}`, /--listen/],
    ['--allow-origin ui.example', /origin/],
    ['--allow-origin https://ui.example/path', /origin/],
    ['--rate-limit 0', /rate/],
    ['--rate-limit fast', /rate/],
    ['--driver kvm', /simulated/],
    ['--token secret', /--token/],
  ] as const)
    assert.throws(() => parseOptions(line.split(' '), {}), refused(message), line);
  rmSync(dir, { recursive: true });
});
