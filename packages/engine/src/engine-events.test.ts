import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { House } from './instances/fixtures/house.ts';

describe('the events of a data directory', () => {
  it('are of everything there is, in one numbering, over a restart', async () => {
    await using house = await House.open('daemon', { templates: { backgroundDelayMs: 0 } });
    const { engine } = house;
    await engine.images.pull('busybox');
    await engine.templates.warm();
    const pool = await engine.pools.create('web', { image: 'busybox', size: 1, stage: 'stopped' });
    await pool.remove();
    await engine.images.tag('busybox', 'other:1');
    await engine.images.remove('other:1');
    const { id: volume } = await engine.volumes.create({ name: 'data', size: '64MB' });
    await engine.volumes.remove('data');
    await engine.close();
    const events = await Array.fromAsync((await house.open()).events({ since: 0, follow: false }));
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, n) => n + 1),
    );
    const seen = new Set(events.map(({ resource, type }) => `${resource.kind} ${type}`));
    for (const wanted of [
      'daemon started',
      'image pulled',
      'template made',
      'pool created',
      'pool closed',
      'instance created',
      'volume created',
      'volume removed',
      'image tagged',
      'image untagged',
      'operation operation',
      'daemon stopping',
    ])
      assert.ok(seen.has(wanted), `${wanted} is not among ${[...seen].join(', ')}`);
    assert.equal(events.at(-1)?.type, 'started');
    for (const { resource } of events) assert.ok(resource.kind && resource.id && resource.name);
    const about = events.filter(({ resource }) => resource.kind === 'volume');
    assert.deepEqual(
      about.map(({ resource: { id, name }, instanceId, data }) => [id, name, instanceId, data.sizeBytes]),
      Array(2).fill([volume, 'data', '', 64 * 1024 ** 2]),
    );
  });
});
