import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostOf, isLoopback, networkOf } from './addresses.ts';
import { Buckets } from './buckets.ts';

test('only what can mean nothing but this machine is loopback', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST'])
    assert.ok(isLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    'localhost.evil.test',
    '127.0.0.1.nip.test',
    '',
    '[::1]',
  ])
    assert.ok(!isLoopback(host), host);
});

test('a host is read from an authority, and from nothing else', () => {
  assert.equal(hostOf('Example.test:80'), 'example.test');
  assert.equal(hostOf('[::1]:8080'), '::1');
  assert.equal(hostOf('127.0.0.1'), '127.0.0.1');
  for (const authority of [
    '',
    'a b',
    'user@localhost',
    'localhost:1:2',
    '[::1',
    'localhost/x',
    'localhost:x',
  ])
    assert.equal(hostOf(authority), undefined, authority);
});

test('an address of IPv6 counts as its network, a mapped one as what it is', () => {
  assert.equal(networkOf('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2');
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0');
  assert.equal(networkOf('::1'), '0:0:0:0');
});

test('a bucket gives what it has, then as much as comes back, and says how long that takes', () => {
  const buckets = new Buckets({ perSecond: 2, burst: 3 });
  for (let n = 0; n < 3; n++) assert.equal(buckets.take('a', 0), 0);
  assert.equal(buckets.take('a', 0), 500);
  assert.equal(buckets.take('b', 0), 0);
  assert.equal(buckets.wait('a', 250), 250);
  assert.equal(buckets.take('a', 500), 0);
  assert.equal(buckets.take('a', 500), 500);
  for (let n = 0; n < 20_000; n++) buckets.take(`flood-${n}`, 600);
  assert.equal(buckets.wait('a', 600), 0, 'the oldest is forgotten rather than all kept');
});
