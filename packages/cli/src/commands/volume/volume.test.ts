import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { FakeTerminal, viv } from '../../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../../test/fake-vivarium.ts';
import { complete } from '../../completion/complete.ts';
import { parseVolume } from '../../flags/volumes.ts';

const house = () => new FakeVivarium().add(fakeInstance({ name: 'web' }));

test('volumes are made, listed with who has them, grown, copied and removed', async () => {
  const vivarium = house();
  const run = async (...words: string[]) => {
    const { status, stdout } = await viv(['volume', ...words], { vivarium });
    assert.equal(status, 0, words.join(' '));
    return stdout;
  };
  assert.equal(await run('create', 'data', '--size', '20GB', '-l', 'team=a'), 'data\n');
  assert.equal(await run('attach', 'web', 'data:/data:ro'), 'data\n');
  const [head = '', row = ''] = (await run('ls')).split('\n');
  assert.match(head, /^VOLUME +ID +SIZE +USED +KIND +CREATED +ATTACHED TO$/);
  assert.match(row, /^data +x0+ +20GB +0B +volume .* web:\/data \(ro\)$/);
  assert.equal(await run('ls', '-q', '-l', 'team=b'), '');
  assert.equal(JSON.parse(await run('ls', '--json'))[0].name, 'data');
  assert.equal(await run('resize', 'data', '40GB'), 'data 40GB\n');
  assert.equal(await run('inspect', '-f', '{{.sizeBytes}}', 'data'), `${40 * 2 ** 30}\n`);
  assert.equal(await run('snapshot', 'data', 'monday'), 'monday\n');
  assert.equal(JSON.parse(await run('clone', 'data', '--json')).readOnly, false);
  assert.equal(await run('detach', 'web', 'data', '--force'), 'data\n');
  const done = vivarium.calls.filter((call) => call !== 'closed');
  assert.deepEqual(done, ['attach data /data ro', 'detach data by force']);
  assert.equal(await run('rm', 'data', 'monday'), 'data\nmonday\n');
  assert.equal((await viv(['volume', 'inspect', 'data'], { vivarium })).status, 4);
});

test('a volume that a VM has is not removed', async () => {
  const vivarium = house();
  await viv(['volume', 'create', 'data'], { vivarium });
  await viv(['volume', 'attach', 'web', 'data:/data'], { vivarium });
  assert.equal((await viv(['volume', 'rm', 'data'], { vivarium })).status, 5);
});

test('archives come from files and go to files, under their names only once they are whole', async () => {
  const vivarium = house();
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-volume-'));
  try {
    const [from, to] = [path.join(dir, 'in.tar.gz'), path.join(dir, 'out.tar.gz')];
    await writeFile(from, 'archive');
    assert.equal((await viv(['volume', 'import', from, 'site'], { vivarium })).stdout, 'site\n');
    assert.equal((await viv(['volume', 'export', 'site', to], { vivarium })).status, 0);
    assert.equal(await readFile(to, 'utf8'), 'archive');
    assert.equal((await viv(['volume', 'export', 'site', '-'], { vivarium })).stdout, 'archive');
    assert.equal((await viv(['volume', 'import', path.join(dir, 'absent')], { vivarium })).status, 4);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('copies and imports are left to the daemon where that is asked for', async () => {
  const vivarium = house();
  await viv(['volume', 'create', 'data'], { vivarium });
  const archive = path.join(await mkdtemp(path.join(tmpdir(), 'viv-volume-')), 'in.tar.gz');
  await writeFile(archive, 'archive');
  try {
    for (const [words, action] of [
      [['clone', 'data'], 'clone-volume'],
      [['snapshot', 'data'], 'snapshot-volume'],
      [['import', archive], 'import-volume'],
    ] as const) {
      const { stdout } = await viv(['volume', ...words, '--async'], { vivarium });
      assert.equal((await vivarium.operations.get(stdout.trim())).action, action);
      const all = await viv(['volume', ...words, '--async', '--json'], { vivarium });
      assert.equal(JSON.parse(all.stdout).action, action);
    }
  } finally {
    await rm(path.dirname(archive), { recursive: true });
  }
});

test('a volume for a VM is a name, a path, and how', async () => {
  assert.deepEqual(parseVolume('data:/a'), { volume: 'data', path: '/a' });
  assert.deepEqual(parseVolume('data:/a:overlay'), { volume: 'data', path: '/a', mode: 'overlay' });
  for (const wrong of ['data', 'data:a', ':/a', 'data:/a:rx', 'data:/a:ro:x'])
    assert.throws(
      () => parseVolume(wrong),
      (error) => isVivError(error, 'invalid_request'),
      wrong,
    );
  const vivarium = house();
  await viv(['create', '-v', 'data:/a', '-v', 'models:/m:ro', 'busybox'], { vivarium });
  assert.deepEqual(vivarium.created[0]?.volumes, [
    { volume: 'data', path: '/a' },
    { volume: 'models', path: '/m', mode: 'ro' },
  ]);
});

test('the shell is told of volumes', async () => {
  const vivarium = house();
  await viv(['volume', 'create', 'data', '--size', '1GB'], { vivarium });
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  assert.equal(await complete(context, ['volume', 'rm', '']), 'data\t1GB\n');
});
