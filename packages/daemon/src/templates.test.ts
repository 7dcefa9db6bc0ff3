import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { check, Template } from '@vivarium/api';
import { isVivError, Task, type TemplateInfo, type Templates, VivError } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { call } from './testing/http.ts';
import { withRooms } from './testing/standing-in.ts';

let house: TestHouse;
const asked: unknown[] = [];
const at = '2026-01-02T03:04:05.000Z';
const kernel: TemplateInfo = {
  id: '0123456789abcdef',
  level: 'kernel',
  cpus: 1,
  memoryBytes: 256 * 2 ** 20,
  sizeBytes: 7,
  createdAt: at,
  usedAt: at,
};
const image: TemplateInfo = {
  ...kernel,
  id: 'fedcba9876543210',
  level: 'image',
  image: { reference: 'docker.io/library/busybox:latest', digest: 'sha256:1' },
};
const templates: Templates = {
  list: async () => [image, kernel],
  warm: ({ signal: _, onProgress, ...options } = {}) =>
    new Task(async () => {
      asked.push(options);
      onProgress?.({ stage: 'booting' });
      return [image];
    }),
  remove: async (id) => {
    if (!kernel.id.startsWith(id)) throw new VivError('not_found', `No template ${id}`);
    return { freedBytes: 7 };
  },
  clear: async () => ({ freedBytes: 14 }),
};

before(async () => {
  house = await openHouse({ behind: (engine) => withRooms(engine, { templates }) });
});
after(() => house[Symbol.asyncDispose]());

test('templates are listed, warmed and removed through the SDK', async () => {
  const { viv } = house;
  assert.deepEqual(await viv.templates.list(), [image, kernel]);
  const stages: string[] = [];
  const options = { image: 'busybox', cpus: 2, memory: '1GB', disk: 5 };
  const warmed = await viv.templates.warm({ ...options, onProgress: ({ stage }) => stages.push(stage) });
  assert.deepEqual([warmed, stages], [[image], ['booting']]);
  await viv.templates.warm();
  assert.deepEqual(asked, [options, {}]);
  assert.deepEqual(await viv.templates.remove('0123'), { freedBytes: 7 });
  await assert.rejects(viv.templates.remove('absent'), (error) => isVivError(error, 'not_found'));
  assert.deepEqual(await viv.templates.clear(), { freedBytes: 14 });
});

test('a template on the wire fits its schema', async () => {
  const { json } = await call(house.daemon.socket, 'GET', '/templates');
  for (const template of json as unknown as unknown[]) check(Template, template, 'template');
});
