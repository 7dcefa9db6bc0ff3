import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { VivHome } from './viv.ts';

describe('the transcript of the README, with a real VM', () => {
  let viv: VivHome;
  let port = 0;
  before(async () => {
    viv = await VivHome.make();
  });
  after(() => viv[Symbol.asyncDispose]());

  test('run --rm shows the kernel of a VM and leaves nothing behind', async () => {
    const { status, stdout, stderr } = await viv.run(['run', '--rm', 'busybox', '--', 'uname', '-a']);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^Linux \S+ \d+\.\d+\S* .*x86_64 GNU\/Linux\n$/);
    assert.equal(await viv.ok('ls', '-q'), '');
  });

  test('run passes stdin, both outputs and the exit status', async () => {
    const script = 'read word; echo "out $word"; echo "err $word" >&2; exit 9';
    const outcome = await viv.run(['run', '--rm', '-i', 'busybox', 'sh', '-c', script], { input: 'hello\n' });
    assert.deepEqual(outcome, { status: 9, stdout: 'out hello\n', stderr: 'err hello\n' });
  });

  test('run -d starts a server whose published port answers', async () => {
    const words = [
      'run',
      '--name',
      'web',
      '-d',
      '-p',
      '80',
      'busybox',
      '--',
      'httpd',
      '-f',
      '-p',
      '80',
      '-h',
      '/etc',
    ];
    assert.equal(await viv.ok(...words), 'web\n');
    port = Number(await viv.ok('inspect', '-f', '{{.ports.0.hostPort}}', 'web'));
    // Its process has been started by now. When it listens is its own affair.
    const listening = 'until wget -q -O /dev/null http://127.0.0.1/passwd; do :; done';
    await viv.ok('exec', 'web', '--', 'sh', '-c', listening);
    const answer = await fetch(`http://127.0.0.1:${port}/passwd`);
    assert.match(await answer.text(), /^root:/);
  });

  test('exec passes outputs and exit status through', async () => {
    const outcome = await viv.run(['exec', 'web', '--', 'sh', '-c', 'echo hi; echo no >&2; exit 7']);
    assert.deepEqual(outcome, { status: 7, stdout: 'hi\n', stderr: 'no\n' });
  });

  test('exec -i gives a command our stdin, a megabyte of it too', async () => {
    const small = await viv.run(['exec', '-i', 'web', '--', 'wc', '-c'], { input: 'data\n' });
    assert.deepEqual(small, { status: 0, stdout: '5\n', stderr: '' });
    const input = Buffer.alloc(1 << 20, 'x');
    const { stdout } = await viv.run(['exec', '-i', 'web', 'cat'], { input });
    assert.equal(stdout.length, input.length);
  });

  test('a command that does not exist is 127, one that cannot be executed 126', async () => {
    const missing = await viv.run(['exec', 'web', 'nosuch']);
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /^viv: .*nosuch/);
    assert.equal((await viv.run(['exec', 'web', '/etc/passwd'])).status, 126);
  });

  test('cp takes a tree in and out again with modes, links and contents', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'cp-'));
    try {
      mkdirSync(path.join(dir, 'site/deep'), { recursive: true });
      writeFileSync(path.join(dir, 'site/index.html'), '<h1>hello</h1>', { mode: 0o640 });
      writeFileSync(path.join(dir, 'site/deep/run'), '#!/bin/sh\n', { mode: 0o755 });
      symlinkSync('../index.html', path.join(dir, 'site/deep/link'));
      await viv.ok('exec', 'web', 'mkdir', '-p', '/srv');
      await viv.ok('cp', path.join(dir, 'site'), 'web:/srv/');
      assert.equal(await viv.ok('exec', 'web', 'cat', '/srv/site/deep/link'), '<h1>hello</h1>');
      await viv.ok('cp', 'web:/srv/site', path.join(dir, 'back'));
      assert.equal(readFileSync(path.join(dir, 'back/index.html'), 'utf8'), '<h1>hello</h1>');
      assert.equal(statSync(path.join(dir, 'back/index.html')).mode & 0o777, 0o640);
      assert.equal(statSync(path.join(dir, 'back/deep/run')).mode & 0o777, 0o755);
      assert.equal(readlinkSync(path.join(dir, 'back/deep/link')), '../index.html');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('ps, inspect, stats and states tell what is there', async () => {
    const [listed] = JSON.parse(await viv.ok('ps', '--json'));
    assert.deepEqual([listed.name, listed.state, listed.memoryBytes], ['web', 'Running', 256 * 2 ** 20]);
    assert.match(await viv.ok('ps'), /\nweb +busybox +Running .*127\.0\.0\.1:\d+->80 /);
    assert.equal(JSON.parse(await viv.ok('inspect', 'web')).id, listed.id);
    const stats = JSON.parse(await viv.ok('stats', '--no-stream', '--json', 'web'));
    assert.ok(stats.memory.usedBytes > 0 && stats.processes > 0);
    assert.match(await viv.ok('stats', '--no-stream'), /\nweb /);
    assert.match(await viv.ok('states', 'web'), /^Running: .*pause/);
  });

  test('logs shows what the command printed, console what the kernel did', async () => {
    await viv.ok(
      'run',
      '-d',
      '--name',
      'talker',
      'busybox',
      '--',
      'sh',
      '-c',
      'echo one; echo two >&2; sleep 1000',
    );
    let shown = { stdout: '', stderr: '' };
    while (!shown.stderr.includes('two')) shown = await viv.run(['logs', 'talker']);
    assert.deepEqual([shown.stdout, shown.stderr], ['one\n', 'two\n']);
    assert.equal((await viv.run(['logs', '--tail', '1', 'talker'])).stderr, 'two\n');
    await viv.ok('exec', 'web', 'sh', '-c', 'mknod /tmp/serial c 4 64; echo spoken > /tmp/serial');
    let serial = '';
    while (!serial.includes('spoken')) serial = await viv.ok('logs', '--source', 'console', 'web');
    await viv.ok('rm', '-f', 'talker');
  });

  test('pause stops the guest and resume lets it go on', async () => {
    assert.equal(await viv.ok('pause', 'web'), 'web\n');
    assert.equal(await viv.ok('inspect', '-f', '{{.state}}', 'web'), 'Paused\n');
    const refused = await viv.run(['exec', 'web', 'true']);
    assert.equal(refused.status, 5);
    await viv.ok('resume', 'web');
    assert.equal(await viv.ok('exec', 'web', 'echo', 'back'), 'back\n');
  });

  test('stop and start keep the disk and the published port', async () => {
    await viv.ok('exec', 'web', 'sh', '-c', 'echo kept > /root/note');
    await viv.ok('stop', 'web');
    assert.equal(await viv.ok('ps', '-q'), '');
    assert.match(await viv.ok('ps', '-a'), /\nweb +busybox +Stopped /);
    await viv.ok('start', 'web');
    assert.equal(await viv.ok('exec', 'web', 'cat', '/root/note'), 'kept\n');
    assert.equal(Number(await viv.ok('inspect', '-f', '{{.ports.0.hostPort}}', 'web')), port);
  });

  test('wait prints the exit code', async () => {
    await viv.ok('run', '-d', '--name', 'job', 'busybox', '--', 'sh', '-c', 'exit 4');
    assert.equal(await viv.ok('wait', 'job'), '4\n');
    await viv.ok('rm', 'job');
  });

  test('rm refuses a VM that runs, and rm -f does not', async () => {
    const refused = await viv.run(['rm', 'web']);
    assert.equal(refused.status, 5);
    assert.match(refused.stderr, /^viv: .*\nhint: /);
    assert.equal(await viv.ok('rm', '-f', 'web'), 'web\n');
    assert.equal(await viv.ok('ls', '-q'), '');
  });

  test('images are listed, and doctor answers', async () => {
    assert.match(await viv.ok('image', 'ls'), /\nbusybox /);
    const report = JSON.parse((await viv.run(['doctor', '--json'])).stdout);
    assert.ok(report.checks.length > 0);
  });
});
