import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolEvent as Event, PoolInfo } from '@vivarium/model';
import { CreatePool, check, Pool, PoolEvent } from '../index.ts';
import {
  poolEventFromWire,
  poolEventToWire,
  poolFromWire,
  poolRequestFromWire,
  poolRequestToWire,
  poolToWire,
} from './index.ts';

const at = '2026-01-02T03:04:05.678Z';
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

test('a pool is the same after its way over the wire, and fits its schema', () => {
  const calm: PoolInfo = {
    name: 'web',
    image: 'docker.io/library/busybox:latest',
    size: 3,
    stage: 'suspended',
    ready: 2,
    creating: 1,
    acquired: 4,
    health: 'filling',
    createdAt: at,
  };
  const lastError = { code: 'boot_failed', message: 'no kernel', at, attempts: 3, retryAt: at };
  for (const info of [calm, { ...calm, health: 'failing' as const, lastError }]) {
    assert.deepEqual(poolFromWire(check(Pool, plain(poolToWire(info)), 'pool')), info);
  }
});

test('what is asked of a pool arrives as it was asked: its size is not that of its VMs', () => {
  const request = {
    name: 'web',
    options: {
      image: 'busybox',
      size: 5,
      stage: 'stopped',
      creationTimeoutMs: 1000,
      memory: '512MB',
      disk: 10 ** 10,
      env: { A: 'b' },
      ports: [{ guestPort: 80 }],
      network: 'none',
    },
    wait: false,
  } as const;
  const body = check(CreatePool, plain(poolRequestToWire(structuredClone(request) as never)), 'body');
  assert.deepEqual([body.size, body.instance.size], [5, '512MB']);
  assert.deepEqual(poolRequestFromWire(body), request);
  const least = { name: 'web', options: { image: 'busybox' } };
  assert.deepEqual(poolRequestFromWire(plain(poolRequestToWire(least))), least);
});

test('an event keeps its data as it is', () => {
  const event: Event = { seq: 3, at, pool: 'web', type: 'ready', data: { leftReady: 1, a_b: { cD: 2 } } };
  for (const told of [event, { ...event, instanceId: 'x' }]) {
    assert.deepEqual(poolEventFromWire(check(PoolEvent, plain(poolEventToWire(told)), 'event')), told);
  }
});
