import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { openHouse } from '../testing/house.ts';
import { call } from '../testing/http.ts';
import { Exposition, Histogram } from './exposition.ts';
import { type Family, families } from './families.ts';

const docs = path.resolve(import.meta.dirname, '../../../../docs');
const all: readonly Family[] = Object.values(families);
/** Names of series that a family has. */
const seriesOf = ({ name, type }: Family) =>
  type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];

const line = /^([a-z_]+)(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? (-?\d+(\.\d+)?(e[+-]?\d+)?|\+Inf|NaN)$/;

test('what is served is the text format, each family once, and what it promises', async () => {
  await using house = await openHouse();
  const vm = await house.viv.run('busybox', { name: 'seen' });
  await vm.stop();
  await vm.start();
  await house.viv.volumes.create({ name: 'data', size: '64MB' });
  const socket = new WebSocket(`ws+unix://${house.daemon.socket}:/events`);
  await new Promise((resolve) => socket.once('open', resolve));
  const answer = await call(house.daemon.socket, 'GET', '/metrics');
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const lines = answer.text.trimEnd().split('\n');
  const typed = lines.flatMap((text) => /^# TYPE (\S+) (\S+)$/.exec(text)?.slice(1, 2) ?? []);
  assert.deepEqual([...typed].sort(), all.map(({ name }) => name).sort());
  const known = new Set(all.flatMap(seriesOf));
  for (const text of lines) {
    if (text.startsWith('#')) continue;
    const found = line.exec(text);
    assert.ok(found, text);
    assert.ok(known.has(found[1] ?? ''), text);
  }
  const has = (text: string) => assert.ok(answer.text.includes(text), text);
  has('vivarium_instances{state="Running"} 1\n');
  has(
    `vivarium_instance_info{id="${vm.id}",name="seen",state="Running",image="docker.io/library/busybox:latest"} 1\n`,
  );
  has('vivarium_operation_duration_seconds_count{action="stop",outcome="done"} 1\n');
  has('vivarium_operation_duration_seconds_bucket{action="start",outcome="done",le="+Inf"} 2\n');
  has('vivarium_http_request_duration_seconds_count{route="createInstance",method="POST",status="200"} 1\n');
  has('vivarium_websockets{route="eventsSocket"} 1\n');
  has('vivarium_host_memory_bytes ');
  has('vivarium_volumes 1\n');
  has('vivarium_volumes_bytes ');
  socket.terminate();
});

test('a scrape with hundreds of VMs asks no guest and takes no time worth a time-out', async () => {
  await using house = await openHouse();
  for (let n = 0; n < 300; n++) await house.engine.create({ image: 'busybox', name: `many-${n}` });
  const vms = await Array.fromAsync(house.engine.all({ limit: 1000 }));
  await Promise.all(vms.slice(0, 40).map(async ({ id }) => (await house.engine.get(id)).start()));
  for (const { id } of vms.slice(0, 40)) {
    // Who would be asked would not answer.
    await (await house.engine.get(id)).pause();
  }
  const began = performance.now();
  const { text } = await call(house.daemon.socket, 'GET', '/metrics');
  assert.ok(performance.now() - began < 2000);
  assert.match(text, /vivarium_instances\{state="Paused"\} 40\n/);
  assert.equal(text.match(/^vivarium_instance_info\{/gm)?.length, 40);
});

test('a histogram counts into all buckets that hold a value, and labels are escaped', () => {
  const family: Family = { name: 'x_seconds', type: 'histogram', help: 'x', labels: ['l'], buckets: [1, 2] };
  const histogram = new Histogram(family);
  for (const value of [0.5, 1, 1.5, 9]) histogram.observe(['a"\n\\'], value);
  const out = new Exposition();
  out.histogram(family, histogram.all());
  assert.deepEqual(out.toString().split('\n').slice(2), [
    'x_seconds_bucket{l="a\\"\\n\\\\",le="1"} 2',
    'x_seconds_bucket{l="a\\"\\n\\\\",le="2"} 3',
    'x_seconds_bucket{l="a\\"\\n\\\\",le="+Inf"} 4',
    'x_seconds_sum{l="a\\"\\n\\\\"} 12',
    'x_seconds_count{l="a\\"\\n\\\\"} 4',
    '',
  ]);
});

test('the documentation names every metric, and no other', () => {
  const text = readFileSync(path.join(docs, 'observability.md'), 'utf8');
  const named = new Set(text.match(/\bvivarium_[a-z_]+\b/g));
  assert.deepEqual([...named].sort(), all.map(({ name }) => name).sort());
});

test('the dashboard asks only for metrics that there are, by labels that they have', () => {
  const dashboard = JSON.parse(readFileSync(path.join(docs, 'grafana-dashboard.json'), 'utf8'));
  const queries: string[] = dashboard.panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
    targets.map(({ expr }) => expr),
  );
  assert.ok(queries.length > 10);
  const bySeries = new Map(all.flatMap((family) => seriesOf(family).map((name) => [name, family] as const)));
  for (const query of queries) {
    const names = query.match(/\bvivarium_[a-z_]+\b/g) ?? [];
    assert.ok(names.length > 0, query);
    const labels = new Set(['le']);
    for (const name of names) {
      const family = bySeries.get(name);
      assert.ok(family, `${name} in ${query}`);
      for (const label of family.labels ?? []) labels.add(label);
    }
    for (const [, list = ''] of query.matchAll(/by \(([^)]*)\)/g))
      for (const label of list.split(',')) assert.ok(labels.has(label.trim()), `${label} in ${query}`);
    for (const [, list = ''] of query.matchAll(/\{([^}]*)\}/g))
      for (const [, label = ''] of list.matchAll(/(\w+)[!=~]+"/g))
        assert.ok(labels.has(label), `${label} in ${query}`);
  }
});
