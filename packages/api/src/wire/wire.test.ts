import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allStates } from '@vivarium/lifecycle';
import type { ImageInfo, InstanceInfo, InstanceStats } from '@vivarium/model';
import fc from 'fast-check';
import { CreateInstance, check, Image, Instance, Stats } from '../index.ts';
import {
  createFromWire,
  createToWire,
  hypemanStates,
  imageFromWire,
  imageToWire,
  instanceFromWire,
  instanceToWire,
  parseDuration,
  progressFromWire,
  progressToWire,
  statesBehind,
  stateToWire,
  statsFromWire,
  statsToWire,
} from './index.ts';

const time = fc.constant('2026-01-02T03:04:05.678Z');
const map = fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const size = fc.nat({ max: 2 ** 40 });

const instance: fc.Arbitrary<InstanceInfo> = fc
  .record({
    id: fc.string(),
    name: fc.string(),
    state: fc.constantFrom(...allStates),
    stateError: maybe(
      fc.constant({
        code: 'vmm_failed',
        message: 'it broke',
        hint: 'mend it',
        details: { line: 1 },
      } as const),
    ),
    image: fc.record({ reference: fc.string(), digest: fc.string() }),
    cpus: fc.integer({ min: 1, max: 16 }),
    memoryBytes: size,
    diskBytes: size,
    env: map,
    command: fc.array(fc.string()),
    user: fc.string(),
    cwd: fc.string(),
    hostname: fc.string(),
    tags: map,
    ports: fc.array(
      fc.record({
        hostAddress: fc.string(),
        hostPort: fc.nat(65535),
        guestPort: fc.integer({ min: 1, max: 65535 }),
      }),
    ),
    network: maybe(
      fc.constant({ ip: '10.1.2.3', mac: '52:54:00:00:00:01', gateway: '10.1.2.1', backend: 'user' }),
    ),
    stopTimeoutMs: fc.nat(),
    autoRemove: fc.boolean(),
    generation: fc.nat(),
    createdAt: time,
    startedAt: maybe(time),
    stoppedAt: maybe(time),
    exit: maybe(
      fc.record({
        reason: fc.constant('exited' as const),
        code: fc.nat(255),
        message: fc.string(),
        at: time,
      }),
    ),
    operation: maybe(fc.record({ id: fc.string(), action: fc.string(), step: fc.string(), startedAt: time })),
    suspendedAt: maybe(time),
    forkedFrom: maybe(fc.record({ instanceId: fc.string(), snapshotId: maybe(fc.string()) })),
    snapshotId: maybe(fc.string()),
    pool: maybe(fc.string()),
    acquiredAt: maybe(time),
    driver: fc.string(),
    vmm: maybe(fc.constant({ name: 'qemu', version: '7.2', pid: 12, accelerator: 'tcg', machine: 'q35' })),
  })
  .map((info) => JSON.parse(JSON.stringify(info)) as InstanceInfo);

test('an instance is the same after its way over the wire, and fits its schema', () => {
  fc.assert(
    fc.property(instance, (info) => {
      const wire = JSON.parse(JSON.stringify(instanceToWire(info))) as Instance;
      check(Instance, wire, 'instance');
      assert.deepEqual(instanceFromWire(wire), info);
    }),
  );
});

test('every state has a name in hypeman, and every name of hypeman a state behind it', () => {
  for (const state of allStates) assert.ok(statesBehind(stateToWire(state)).includes(state));
  for (const name of hypemanStates) assert.ok(statesBehind(name).length > 0);
  assert.equal(stateToWire('Suspended'), 'Standby');
});

test('hypeman is told of saved memory wherever there is some', () => {
  const [info] = fc.sample(instance, 1);
  assert.ok(info);
  const { suspendedAt: _, ...without } = info;
  const saved = (more: Partial<InstanceInfo>) => instanceToWire({ ...without, ...more }).has_snapshot;
  assert.equal(saved({ state: 'Stopped' }), false);
  assert.equal(saved({ state: 'Suspended' }), true);
  assert.equal(saved({ state: 'Restoring', suspendedAt: '2026-01-02T03:04:05.678Z' }), true);
});

test('what is asked of a create arrives as it was asked, sizes among it', () => {
  const options = {
    name: 'web',
    image: 'busybox',
    cpus: 2,
    memory: '512MB',
    disk: 10 ** 10,
    env: { A: 'b' },
    cmd: ['x'],
    entrypoint: ['y'],
    user: 'nobody',
    cwd: '/srv',
    hostname: 'h',
    tags: { t: '1' },
    ports: [{ guestPort: 80, hostPort: 8080, hostAddress: '0.0.0.0' }],
    network: 'none',
    tty: { rows: 24, cols: 80 },
    stdin: 'open',
    attach: true,
    pull: 'never',
    stopTimeoutMs: 1,
    autoRemove: true,
  } as const;
  const body = check(
    CreateInstance,
    JSON.parse(JSON.stringify(createToWire(structuredClone(options) as never, true))),
    'body',
  );
  assert.deepEqual(createFromWire(body), options);
  assert.deepEqual(createFromWire({ image: 'busybox' }), { image: 'busybox' });
});

test('an image and statistics are the same after their way over the wire', () => {
  const image: ImageInfo = {
    digest: 'sha256:1',
    references: ['docker.io/library/busybox:latest'],
    architecture: 'amd64',
    sizeBytes: 5,
    config: {
      entrypoint: ['a'],
      cmd: ['b'],
      env: { P: '/bin' },
      user: 'u',
      workingDir: '/w',
      stopSignal: 'SIGINT',
      exposedPorts: ['80/tcp'],
      labels: { l: 'm' },
    },
    layers: [{ digest: 'sha256:2', sizeBytes: 5 }],
    createdAt: '2020-01-01T00:00:00Z',
    importedAt: '2021-01-01T00:00:00Z',
    usedBy: ['web'],
  };
  assert.deepEqual(imageFromWire(check(Image, imageToWire(image), 'image')), image);
  const stats: InstanceStats = {
    at: '2021-01-01T00:00:00Z',
    cpuNanos: 1,
    memory: { totalBytes: 2, usedBytes: 3, availableBytes: 4 },
    disk: { totalBytes: 5, usedBytes: 6, readBytes: 7, writtenBytes: 8 },
    network: { receivedBytes: 9, sentBytes: 10 },
    processes: 11,
    vmm: { residentBytes: 12, cpuNanos: 13 },
  };
  const info = { id: 'i', name: 'n', cpus: 1, memoryBytes: 100 } as InstanceInfo;
  assert.deepEqual(statsFromWire(check(Stats, statsToWire(info, stats), 'stats')), stats);
});

test('progress keeps its fields, in snake case on the wire', () => {
  const layer = { stage: 'layer', digest: 'sha256:1', receivedBytes: 5, totalBytes: 9, done: false } as const;
  assert.deepEqual(progressToWire(layer), {
    stage: 'layer',
    digest: 'sha256:1',
    received_bytes: 5,
    total_bytes: 9,
    done: false,
  });
  assert.deepEqual(progressFromWire(progressToWire(layer)), layer);
});

test('durations are read as Go writes them, and nothing else is', () => {
  assert.equal(parseDuration('1m30s'), 90_000);
  assert.equal(parseDuration('1.5h'), 5_400_000);
  assert.equal(parseDuration('250ms'), 250);
  assert.equal(parseDuration('0'), 0);
  for (const bad of ['', '30', '-1s', '1 s', '1d', 's'])
    assert.throws(() => parseDuration(bad), /Not a duration/);
});
