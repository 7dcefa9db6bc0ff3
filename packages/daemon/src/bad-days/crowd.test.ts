import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { openHouse, type TestHouse } from '../testing/house.ts';
import { type Answer, call } from '../testing/http.ts';

/** Many at the same time. */
let house: TestHouse;
before(async () => {
  house = await openHouse();
});
after(() => house[Symbol.asyncDispose]());

const ask = (method: string, where: string, body?: unknown): Promise<Answer> =>
  call(house.daemon.socket, method, where, { body });
const directories = (): string[] => readdirSync(path.join(house.home, 'instances'));
const times = <T>(count: number, act: (n: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => act(n)));

function tally(answers: Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, json } of answers) {
    const key = status < 400 ? String(status) : `${status} ${json.code}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

test('of many creates of one name one wins, and the others leave nothing', async () => {
  const answers = await times(30, (n) =>
    ask('POST', '/instances', { image: 'busybox', name: 'taken', start: n % 2 === 0 }),
  );
  assert.deepEqual(tally(answers), { 201: 1, '409 name_conflict': 29 });
  const made = answers.find(({ status }) => status === 201)?.json.id;
  assert.deepEqual(directories(), [made]);
  const gone = await times(10, () => ask('DELETE', '/instances/taken'));
  assert.ok(
    gone.some(({ status }) => status === 204),
    JSON.stringify(tally(gone)),
  );
  assert.ok(
    gone.every(({ status }) => status === 204 || status === 404),
    JSON.stringify(tally(gone)),
  );
  assert.deepEqual(directories(), []);
});

test('two hundred creates at once all run, and nothing is left of them when they are deleted', async () => {
  const made = await times(200, () => ask('POST', '/instances', { image: 'busybox', size: '128MB' }));
  assert.deepEqual(tally(made), { 201: 200 });
  const ids = made.map(({ json }) => String(json.id));
  assert.deepEqual(directories().sort(), [...ids].sort());
  const list = (await ask('GET', '/instances')).json as unknown as { state: string }[];
  assert.ok(list.length === 200 && list.every(({ state }) => state === 'Running'));
  assert.deepEqual(tally(await Promise.all(ids.map((id) => ask('DELETE', `/instances/${id}`)))), {
    204: 200,
  });
  assert.deepEqual(directories(), []);
  assert.deepEqual((await ask('GET', '/instances')).json, []);
});

test('actions that exclude each other have one winner at a time, and an end', async () => {
  await ask('POST', '/instances', { image: 'busybox', name: 'fought' });
  const words = ['start', 'stop', 'pause', 'resume', 'standby', 'restore', 'restart', 'shutdown', 'prepare'];
  const answers = await times(90, (n) => ask('POST', `/instances/fought/${words[n % words.length]}`));
  for (const { status, json } of answers) assert.ok([200, 409].includes(status), `${status} ${json.message}`);
  assert.equal((await ask('POST', '/instances/fought/stop', { force: true })).status < 500, true);
  assert.equal((await ask('DELETE', '/instances/fought')).status, 204);
  assert.deepEqual(directories(), []);
});

test('pools, snapshots and forks of one name have one winner as well', async () => {
  await ask('POST', '/instances', { image: 'busybox', name: 'source' });
  const pool = { name: 'one', instance: { image: 'busybox' }, size: 1 };
  assert.deepEqual(tally(await times(10, () => ask('POST', '/pools', pool))), {
    201: 1,
    '409 name_conflict': 9,
  });
  for (const [where, body] of [
    ['/instances/source/snapshots', { name: 'kept' }],
    ['/instances/source/forks', { name: 'copy' }],
  ] as const) {
    const counts = tally(await times(10, () => ask('POST', where, body)));
    assert.equal(counts['201'], 1, JSON.stringify(counts));
    assert.ok(
      Object.keys(counts).every((key) => /^(201|409 (name_conflict|busy))$/.test(key)),
      JSON.stringify(counts),
    );
  }
  await ask('DELETE', '/pools/one');
});
