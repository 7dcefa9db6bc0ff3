import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openHouse, type TestHouse } from '../testing/house.ts';
import { call, sendRaw } from '../testing/http.ts';

/** Requests that two readers could cut differently: the second one hidden in them must never be carried out. */
let house: TestHouse;
before(async () => {
  house = await openHouse();
  await house.viv.create({ image: 'busybox', name: 'victim' });
});
after(() => house[Symbol.asyncDispose]());

const head = 'POST /instances HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
const hidden = 'DELETE /instances/victim HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n';
const chunked = `0\r\n\r\n${hidden}`;

const smuggled: Record<string, string> = {
  'a length and chunks': `${head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
  'chunks and a length': `${head}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${chunked}`,
  'two lengths': `${head}content-length: 0\r\ncontent-length: 10\r\n\r\n${hidden}`,
  'a list of lengths': `${head}content-length: 0, 10\r\n\r\n${hidden}`,
  'a length with a sign': `${head}content-length: +0\r\n\r\n${hidden}`,
  'a negative length': `${head}content-length: -1\r\n\r\n${hidden}`,
  'a length too great': `${head}content-length: 99999999999999999999999\r\n\r\n${hidden}`,
  'a hexadecimal length': `${head}content-length: 0x0\r\n\r\n${hidden}`,
  'chunks that come last but one': `${head}transfer-encoding: chunked, identity\r\n\r\n${chunked}`,
  'another coding': `${head}transfer-encoding: xchunked\r\n\r\n${chunked}`,
  'a name with a space': `${head}transfer-encoding : chunked\r\n\r\n${chunked}`,
  'a folded header': `${head}x: y\r\n transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${chunked}`,
  'a bare line feed': `${head}x: y\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
  'a bare carriage return': `${head}x: y\rtransfer-encoding: chunked\r\n\r\n${chunked}`,
  'a null byte': `${head}x: y\0\r\ncontent-length: 0\r\n\r\n${hidden}`,
  'a size of a chunk that overflows': `${head}transfer-encoding: chunked\r\n\r\nfffffffffffffffff1\r\n${hidden}`,
  'a size of a chunk with a sign': `${head}transfer-encoding: chunked\r\n\r\n+0\r\n\r\n${hidden}`,
  'a newer version': `POST /instances HTTP/2.0\r\nhost: localhost\r\n\r\n${hidden}`,
};

for (const [what, bytes] of Object.entries(smuggled)) {
  test(`a request with ${what} is refused and ends the connection`, async () => {
    const text = await sendRaw(house.daemon.socket, bytes);
    assert.match(text, /^HTTP\/1\.1 4/);
    assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, text);
    assert.equal((await call(house.daemon.socket, 'GET', '/instances/victim')).status, 200);
  });
}

test('an upgrade that is refused hides nothing behind it', async () => {
  const upgrade =
    'GET /instances/victim/exec HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n';
  const text = await sendRaw(house.daemon.socket, `${upgrade}\r\n${hidden}`);
  assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, text);
  assert.equal((await call(house.daemon.socket, 'GET', '/instances/victim')).status, 200);
});
