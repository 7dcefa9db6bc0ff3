import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesToWarm } from './warm-files.ts';

const config = { entrypoint: [], cmd: [], env: {}, user: '', workingDir: '', exposedPorts: [], labels: {} };

test("An image's command is looked for where its PATH leads", () => {
  const files = filesToWarm({ ...config, cmd: ['serve', '-v'], env: { PATH: '/app:/bin' } });
  assert.deepEqual(files.slice(-2), ['/app/serve', '/bin/serve']);
  assert.ok(files.includes('/bin/sh'));
});

test('An entrypoint comes before the command, and a path is taken as it is', () => {
  assert.equal(filesToWarm({ ...config, entrypoint: ['/init'], cmd: ['serve'] }).at(-1), '/init');
});
