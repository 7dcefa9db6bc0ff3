import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ForkOptions, SnapshotInfo } from '@vivarium/model';
import fc from 'fast-check';
import { check, ForkInstances, Snapshot } from '../index.ts';
import { forkFromWire, forkToWire, snapshotFromWire, snapshotToWire } from './index.ts';

const time = fc.constant('2026-01-02T03:04:05.678Z');
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const bytes = fc.nat({ max: 2 ** 40 });
const state = fc.constantFrom(
  'running' as const,
  'paused' as const,
  'suspended' as const,
  'stopped' as const,
);
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

const snapshot: fc.Arbitrary<SnapshotInfo> = fc
  .record({
    id: fc.string(),
    name: fc.string(),
    instanceId: fc.string(),
    instanceName: fc.string(),
    state,
    hasMemory: fc.boolean(),
    image: fc.record({ reference: fc.string(), digest: fc.string() }),
    cpus: fc.integer({ min: 1, max: 16 }),
    memoryBytes: bytes,
    diskBytes: bytes,
    sizeBytes: bytes,
    parentId: maybe(fc.string()),
    createdAt: time,
    expiresAt: maybe(time),
  })
  .map(plain);

test('a snapshot is the same after its way over the wire, and fits its schema', () => {
  fc.assert(
    fc.property(snapshot, (info) => {
      const wire = plain(snapshotToWire(info, 'qemu'));
      check(Snapshot, wire, 'snapshot');
      assert.deepEqual(snapshotFromWire(wire), info);
    }),
  );
});

test('what is asked of a fork arrives as it was asked', () => {
  const options = fc
    .record({
      count: maybe(fc.integer({ min: 1, max: 1000 })),
      name: maybe(fc.string()),
      state: maybe(state),
      tags: maybe(fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true })),
      autoRemove: maybe(fc.boolean()),
      unsafeIdentity: maybe(fc.boolean()),
    })
    .map((asked) => plain(asked) as ForkOptions);
  fc.assert(
    fc.property(options, (asked) => {
      assert.deepEqual(forkFromWire(check(ForkInstances, plain(forkToWire(asked)), 'body')), asked);
    }),
  );
});
