import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { parseCreate } from './create.ts';
import { parseDuration, withoutSeparator } from './values.ts';

test('what was not said is left to the engine', () => {
  assert.deepEqual(parseCreate({}, 'busybox', [], {}), { image: 'busybox' });
});

test('every option lands in its field', () => {
  const flags = {
    name: 'web',
    interactive: true,
    env: ['A=1'],
    publish: ['8080:80', '90'],
    cpus: '2',
    memory: '1GB',
    disk: '20G',
    user: 'www:www',
    workdir: '/srv',
    hostname: 'host',
    entrypoint: '/bin/sh',
    label: ['team=a', 'team=b'],
    tag: ['bare'],
    network: 'none',
    pull: 'never',
    stopTimeout: '1.5',
    rm: true,
  };
  assert.deepEqual(parseCreate(flags, 'img', ['-c', 'ls'], {}), {
    image: 'img',
    name: 'web',
    cpus: 2,
    memory: 2 ** 30,
    disk: 20 * 2 ** 30,
    env: { A: '1' },
    cmd: ['-c', 'ls'],
    entrypoint: ['/bin/sh'],
    user: 'www:www',
    cwd: '/srv',
    hostname: 'host',
    tags: { team: 'b', bare: '' },
    ports: [{ hostPort: 8080, guestPort: 80 }, { guestPort: 90 }],
    network: 'none',
    pull: 'never',
    stopTimeoutMs: 1500,
    stdin: 'open',
    autoRemove: true,
  });
});

test('an empty entrypoint removes that of the image', () => {
  assert.deepEqual(parseCreate({ entrypoint: '' }, 'i', ['ls'], {}).entrypoint, []);
});

const wrong = {
  cpus: ['0', '1.5', '-1', 'x', ''],
  memory: ['lots', '-1', ''],
  network: ['bridge', ''],
  pull: ['sometimes'],
  stopTimeout: ['soon', '-1', '1y', '999d'],
};
for (const [flag, values] of Object.entries(wrong)) {
  for (const value of values) {
    test(`${flag} ${JSON.stringify(value)} is refused before anything is made`, () => {
      assert.throws(
        () => parseCreate({ [flag]: value }, 'i', [], {}),
        (error) => isVivError(error, 'invalid_request', 'invalid_size'),
      );
    });
  }
}

test('a duration is seconds, or has a unit', () => {
  assert.equal(parseDuration('10', '-t'), 10_000);
  assert.equal(parseDuration('500ms', '-t'), 500);
  assert.equal(parseDuration('1.5m', '-t'), 90_000);
});

test('only a leading -- separates; a later one belongs to the command', () => {
  assert.deepEqual(withoutSeparator(['--', 'ls', '--', '-l']), ['ls', '--', '-l']);
  assert.deepEqual(withoutSeparator(['ls', '--']), ['ls', '--']);
  assert.deepEqual(withoutSeparator([]), []);
});
