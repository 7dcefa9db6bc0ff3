import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Answer, call } from '../testing/http.ts';
import { type DaemonProgram, startProgram } from '../testing/program.ts';

/** `vivd` is killed in the middle of a request, and the client asks the next one the same again. */
let home: string;
let daemon: DaemonProgram;
before(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'killed-'));
  daemon = await startProgram(home);
});
after(async () => {
  await daemon.end('SIGTERM');
  rmSync(home, { recursive: true });
});

const ask = (method: string, where: string, body?: unknown): Promise<Answer> =>
  call(daemon.socket, method, where, { body });

interface Kind {
  readonly name: string;
  /** What must be there first. */
  readonly given?: () => Promise<unknown>;
  readonly request: () => Promise<Answer>;
  /** Answers of the second try: the first may have been done. */
  readonly again: readonly string[];
  /** What must be true then. */
  readonly holds: () => Promise<unknown>;
}

const create = (more: object = {}) => ask('POST', '/instances', { image: 'busybox', name: 'vm', ...more });
const stateOf = async () => (await ask('GET', '/instances/vm')).json.viv_state;
const kinds: Kind[] = [
  {
    name: 'a create',
    request: () => create({ start: false }),
    again: ['201', '409 name_conflict'],
    holds: async () => assert.equal(await stateOf(), 'Stopped'),
  },
  {
    name: 'a create with a start',
    request: () => create(),
    again: ['201', '409 name_conflict'],
    // A create that was undone leaves none, one that was done a VM whose machine went with the simulation.
    holds: async () => assert.ok(['Running', 'Stopped'].includes(String(await stateOf()))),
  },
  {
    name: 'a start',
    given: () => create({ start: false }),
    request: () => ask('POST', '/instances/vm/start'),
    again: ['200'],
    holds: async () => assert.equal(await stateOf(), 'Running'),
  },
  {
    name: 'a stop',
    given: () => create(),
    request: () => ask('POST', '/instances/vm/stop'),
    again: ['200'],
    holds: async () => assert.equal(await stateOf(), 'Stopped'),
  },
  {
    name: 'a rename',
    given: () => create({ name: 'old', start: false }),
    request: async () => {
      const answer = await ask('PATCH', '/instances/old', { name: 'vm' });
      return answer;
    },
    again: ['200', '404 not_found'],
    holds: async () => assert.equal(await stateOf(), 'Stopped'),
  },
  {
    name: 'a delete',
    given: () => create(),
    request: () => ask('DELETE', '/instances/vm'),
    again: ['204', '404 not_found'],
    holds: async () => assert.deepEqual(readdirSync(path.join(home, 'instances')), []),
  },
  {
    name: 'a fork',
    given: () => create({ start: false }),
    request: () => ask('POST', '/instances/vm/forks', { name: 'copy' }),
    again: ['201', '409 name_conflict'],
    holds: async () => assert.equal((await ask('GET', '/instances/copy')).json.viv_state, 'Stopped'),
  },
  {
    name: 'a snapshot',
    given: () => create({ start: false }),
    request: () => ask('POST', '/instances/vm/snapshots', { name: 'kept' }),
    again: ['201', '409 name_conflict'],
    holds: async () => assert.equal((await ask('DELETE', '/instances/vm/snapshots/kept')).status, 204),
  },
  {
    name: 'a pull',
    request: () => ask('POST', '/images', { name: 'registry.test/app:1' }),
    again: ['202'],
    holds: async () => assert.equal((await ask('GET', '/images/registry.test%2Fapp%3A1')).status, 200),
  },
  {
    name: 'a pool',
    request: () => ask('POST', '/pools', { name: 'pool', instance: { image: 'busybox' }, size: 1 }),
    again: ['201', '409 name_conflict'],
    holds: async () => assert.equal((await ask('DELETE', '/pools/pool')).status, 204),
  },
  {
    name: 'a token',
    request: () => ask('POST', '/tokens', { name: 'ci' }),
    again: ['201'],
    holds: async () => {
      const tokens = (await ask('GET', '/tokens')).json as unknown as { id: string }[];
      for (const { id } of tokens) assert.equal((await ask('DELETE', `/tokens/${id}`)).status, 204);
    },
  },
];

for (const kind of kinds) {
  for (const afterMs of [0, 3, 12]) {
    test(`${kind.name} whose daemon is killed ${afterMs} ms into it can be asked for again`, async () => {
      await kind.given?.();
      const first = kind.request().catch((error: Error) => error);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await daemon.end('SIGKILL');
      await first;
      daemon = await startProgram(home);
      const { status, json, text } = await kind.request();
      const said = status < 400 ? String(status) : `${status} ${json.code}`;
      assert.ok(kind.again.includes(said), `${said}: ${text}`);
      await kind.holds();
      await tidy();
    });
  }
}

/** Nothing half done may be in the way of that. */
async function tidy(): Promise<void> {
  for (const { id } of (await ask('GET', '/instances')).json as unknown as { id: string }[])
    assert.equal((await ask('DELETE', `/instances/${id}`)).status, 204);
  assert.deepEqual(readdirSync(path.join(home, 'instances')), []);
}
