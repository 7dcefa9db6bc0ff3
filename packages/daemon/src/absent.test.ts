import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { absentRoutes } from '@vivarium/api';
import { openHouse, type TestHouse } from './testing/house.ts';
import { call } from './testing/http.ts';

let house: TestHouse;
before(async () => {
  house = await openHouse();
});
after(() => house[Symbol.asyncDispose]());

test('a route of hypeman that is not there yet answers 501 naming what it would need, and is not tried again', async () => {
  for (const { method, path, what } of absentRoutes) {
    const answer = await call(house.daemon.socket, method, path.replaceAll(/\{\w+\}/g, 'x'));
    assert.equal(answer.status, 501, `${method} ${path}: ${answer.text}`);
    assert.equal(answer.json.code, 'not_supported');
    assert.ok(String(answer.json.message).startsWith(what), answer.text);
    assert.equal(answer.headers['x-should-retry'], 'false');
  }
});

test('a method that neither is there nor will be is 405 on such a route', async () => {
  const answer = await call(house.daemon.socket, 'PATCH', '/devices');
  assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, POST']);
});
