import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotInfo } from '@vivarium/model';
import { renderTree } from './snapshot-tree.ts';

const now = Date.parse('2026-01-02T03:04:05Z');

function snapshot(id: string, parentId?: string, more: Partial<SnapshotInfo> = {}): SnapshotInfo {
  return {
    id,
    name: id,
    instanceId: 'web',
    instanceName: 'web',
    state: 'running',
    hasMemory: true,
    image: { reference: 'docker.io/library/busybox:latest', digest: 'sha256:1' },
    cpus: 1,
    memoryBytes: 1,
    diskBytes: 1,
    sizeBytes: 1,
    createdAt: '2026-01-02T02:04:05Z',
    ...(parentId === undefined ? {} : { parentId }),
    ...more,
  };
}

test('branches are drawn where they left, and the place of the VM is marked', () => {
  const tree = [
    snapshot('base', undefined, { state: 'stopped', expiresAt: '2026-01-04T03:04:05Z' }),
    snapshot('one', 'base'),
    snapshot('two', 'one'),
    snapshot('other', 'base'),
    snapshot('apart', 'removed'),
  ];
  assert.equal(
    renderTree('web (Running)', tree, { current: 'two', now }),
    [
      'web (Running)',
      '├─ base (stopped, 1h ago, ends in 2d)',
      '│  ├─ one (running, 1h ago)',
      '│  │  └─ two (running, 1h ago) ◀ now',
      '│  └─ other (running, 1h ago)',
      '└─ apart (running, 1h ago)',
      '',
    ].join('\n'),
  );
});

test('a circle of parents loses no snapshot, and a tree may be deep', () => {
  const circle = renderTree('web', [snapshot('a', 'b'), snapshot('b', 'a'), snapshot('c', 'a')], { now });
  for (const name of ['a', 'b', 'c']) assert.match(circle, new RegExp(`─ ${name} `));
  const chain = Array.from({ length: 500 }, (_, n) => snapshot(`s${n}`, n === 0 ? undefined : `s${n - 1}`));
  assert.equal(renderTree('web', chain, { now }).split('\n').length, 502);
});

test('a name can not paint on the terminal', () => {
  assert.ok(!renderTree('web', [snapshot('\x1b[2J')], { now }).includes('\x1b'));
});
