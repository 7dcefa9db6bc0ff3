import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError, VivError } from '@vivarium/model';
import { addLayer, type Execute, topLayer, topNode } from './disk-layers.ts';

/** A QEMU with the disks `layers` and `root`, and another whose serial begins like it. */
class Graph {
  top = 'disk-root';
  added: Record<string, unknown>[] = [];
  calls: string[] = [];
  /** What becomes of `blockdev-snapshot`. */
  snapshot: 'done' | 'refused' | 'unanswered' = 'done';

  readonly execute: Execute = async (command, args = {}) => {
    this.calls.push(command);
    const { overlay } = args as { overlay: string };
    if (command === 'query-block')
      return [
        { device: 'floppy' },
        ...['disk-layers', 'disk-root2', 'disk-root-a', this.top].map((name) => ({
          inserted: { 'node-name': name, file: `json:{${name}` },
        })),
      ];
    if (command === 'query-named-block-nodes')
      return this.added
        .map(({ file }) => file)
        .map((file) => ({ ...named(file), file: named(file).filename }));
    if (command === 'blockdev-add') this.added.push(args as Record<string, unknown>);
    if (command === 'blockdev-snapshot') {
      if (this.snapshot !== 'refused') this.top = overlay;
      if (this.snapshot !== 'done') throw new VivError('vmm_failed', this.snapshot);
    }
    return {};
  };
}

const named = (file: unknown) => file as { 'node-name': string; filename: string };

test('the present top is found however many layers were added, and no other disk is taken for it', async () => {
  const graph = new Graph();
  for (let times = 0; times < 3; times++) await addLayer(graph.execute, 'root', `/vm/${times}.qcow2`);
  assert.equal(await topNode(graph.execute, 'root'), graph.added[2]?.['node-name']);
  assert.equal(await topLayer(graph.execute, 'root'), '/vm/2.qcow2');
  assert.equal(graph.added[0]?.backing, null);
  await assert.rejects(topNode(graph.execute, 'oo'), (error) => isVivError(error, 'vmm_failed'));
});

test('a refused layer is taken out again, and one whose answer was lost is there', async () => {
  const graph = new Graph();
  graph.snapshot = 'refused';
  await assert.rejects(addLayer(graph.execute, 'root', '/vm/a.qcow2'), /refused/);
  assert.equal(graph.calls.at(-1), 'blockdev-del');
  graph.snapshot = 'unanswered';
  await addLayer(graph.execute, 'root', '/vm/a.qcow2');
  assert.equal(graph.calls.at(-1), 'query-block');
});

test('node names are no longer than QEMU takes, also for the longest serial', async () => {
  const graph = new Graph();
  graph.top = `disk-${'s'.repeat(20)}`;
  await addLayer(graph.execute, 's'.repeat(20), '/vm/a.qcow2');
  const node = graph.added[0] ?? {};
  for (const name of [node['node-name'], named(node.file)['node-name']])
    assert.match(String(name), /^[a-z][a-z0-9._-]{0,30}$/);
});
