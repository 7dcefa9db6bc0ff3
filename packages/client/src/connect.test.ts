import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { connect } from './connect.ts';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'connect-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

/** Answers every request with an empty list, or an empty success. */
async function listener(socket: string, status = 200) {
  const server = createServer((request, answer) => {
    request.resume();
    request.on('end', () => answer.writeHead(status, { connection: 'close' }).end('[]'));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

test('a URL that is none, and one that would show the token to the network, are refused before anything is sent', () => {
  for (const url of [
    'nonsense',
    'ftp://vms.example',
    'https://vms.example/below',
    'https://user:word@vms.example',
    'http://vms.example',
    'http://127.0.0.1.vms.example',
  ])
    assert.throws(
      () => connect({ url, token: 'secret' }),
      (error) => isVivError(error, 'invalid_request') && error.hint !== undefined,
      url,
    );
});

test('the environment names the daemon, unless the call names one itself', () => {
  const env = { VIV_URL: 'nonsense', VIV_TOKEN: 'secret' };
  assert.throws(
    () => connect({ env }),
    (error) => isVivError(error, 'invalid_request'),
  );
  connect({ env, home: dir });
  connect({ env, url: 'https://vms.example' });
  const missing = path.join(dir, 'missing');
  for (const more of [{ VIV_CA: missing }, { VIV_TOKEN: '', VIV_TOKEN_FILE: missing }])
    assert.throws(
      () => connect({ env: { ...env, VIV_URL: 'https://vms.example', ...more } }),
      (error) => isVivError(error, 'invalid_request') && error.message.includes(missing),
    );
});

test('a call that gives up does not take the start of the daemon from another', async () => {
  const socket = path.join(dir, 'shared.sock');
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  let starts = 0;
  await using viv = connect({
    socket,
    autostart: async (_options, signal) => {
      starts += 1;
      begun.resolve();
      await new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
        void go.promise.then(resolve);
      });
    },
  });
  const controller = new AbortController();
  const impatient = viv.create({ image: 'busybox' }, { signal: controller.signal });
  await begun.promise;
  const patient = viv.list();
  controller.abort();
  await assert.rejects(
    async () => await impatient,
    (error) => isVivError(error, 'cancelled'),
  );
  await using _ = await listener(socket);
  go.resolve();
  assert.deepEqual(await patient, { items: [] });
  assert.equal(starts, 1);
});

test('a start that nobody waits for any more is given up', async () => {
  const gaveUp = Promise.withResolvers<unknown>();
  await using viv = connect({
    socket: path.join(dir, 'nobody.sock'),
    autostart: (_options, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          gaveUp.resolve(signal.reason);
          reject(signal.reason);
        });
        controller.abort();
      }),
  });
  const controller = new AbortController();
  await assert.rejects(
    async () => await viv.create({ image: 'busybox' }, { signal: controller.signal }),
    (error) => isVivError(error, 'cancelled'),
  );
  assert.ok(isVivError(await gaveUp.promise, 'cancelled'));
});

test('a data directory that cannot be made is told as that', async () => {
  const file = path.join(dir, 'file');
  writeFileSync(file, '');
  await using viv = connect({ home: path.join(file, 'home') });
  await assert.rejects(
    viv.list(),
    (error) => isVivError(error, 'daemon_unreachable') && /ENOTDIR/.test(error.message),
  );
});

test('an abort is an error of ours, whatever it was made with and whenever it came', async () => {
  await using viv = connect({ socket: path.join(dir, 'none.sock'), autostart: false });
  const reasons = [
    [AbortSignal.abort(), 'cancelled'],
    [AbortSignal.abort(new Error('enough')), 'cancelled'],
    [AbortSignal.abort(new DOMException('late', 'TimeoutError')), 'timeout'],
  ] as const;
  for (const [signal, code] of reasons) {
    await assert.rejects(
      async () => await viv.create({ image: 'busybox' }, { signal }),
      (error) => isVivError(error, code),
    );
    await assert.rejects(
      async () => await viv.events({ signal })[Symbol.asyncIterator]().next(),
      (error) => isVivError(error, code),
    );
  }
});
