import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { until } from '../engine/real-engine.ts';
import { RealDaemon } from './real-daemon.ts';

describe('the inside of a real VM, through the SDK,', () => {
  let daemon: RealDaemon;
  let vm: Vm;
  before(async () => {
    daemon = await RealDaemon.start();
    vm = await daemon.viv.run('busybox', { name: 'inside' });
  });
  after(() => daemon?.[Symbol.asyncDispose]());

  test('has ports that are reached here without being published', async () => {
    const server = await vm.sessions.start(['nc', '-ll', '-p', '7000', '-e', 'cat']);
    await using forward = await vm.forward(7000);
    const say = async (text: string): Promise<string> => {
      const socket = connect(forward.hostPort, '127.0.0.1').setEncoding('utf8');
      let answer = '';
      socket.on('data', (data) => {
        answer += data;
      });
      // While nobody listens in the guest whoever comes is sent away.
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => undefined).end(text);
      await closed;
      return answer;
    };
    await until('it listens', async () => (await say('there?')) === 'there?');
    const texts = Array.from({ length: 4 }, (_, n) => `${n}`.repeat(200_000));
    assert.deepEqual(await Promise.all(texts.map(say)), texts);
    await vm.sessions.kill(server.id);
  });

  test('has files that programs change under a watch', async () => {
    await vm.exec(['mkdir', '-p', '/srv/w/a/b']);
    const done = new AbortController();
    const changes = await vm.files.watch('/srv/w', { recursive: true, signal: done.signal });
    const script = 'cd /srv/w; echo x > a/b/f; mv a/b/f g; rm g; mkdir new; touch last';
    assert.equal((await vm.exec(['sh', '-c', script])).exitCode, 0);
    const seen: string[] = [];
    for await (const { kind, path } of changes) {
      seen.push(`${kind} ${path.slice('/srv/w/'.length)}`);
      if (seen.at(-1) === 'created last') break;
    }
    for (const wanted of ['created a/b/f', 'renamed g', 'removed g', 'created new', 'created last'])
      assert.ok(seen.includes(wanted), `${wanted}: ${seen.join(', ')}`);
    done.abort();
  });

  test('keeps a session over a daemon that was killed, with its output by offset', async () => {
    const script = 'i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; usleep 10000; done';
    const { id } = await vm.sessions.start(['sh', '-c', script]);
    await daemon.kill();
    await daemon.start();
    let text = '';
    for await (const { data } of vm.sessions.output(id, { follow: true })) text += Buffer.from(data);
    assert.equal(text, Array.from({ length: 200 }, (_, n) => `${n + 1}\n`).join(''));
    assert.equal((await vm.sessions.get(id)).exit?.code, 0);
  });

  test('can’t lead a step on files out of the root of its image', async () => {
    await vm.exec(['sh', '-c', 'ln -s /proc/1/root /srv/out; ln -s ../../../../.. /srv/up']);
    const names = async (path: string) => (await vm.files.list(path)).map(({ name }) => name);
    assert.deepEqual(await names('/srv/up'), await names('/'));
    assert.deepEqual(await names('/../..'), await names('/'));
    // A magic link of /proc is followed by nobody: it would lead to the root of another process.
    await assert.rejects(vm.files.list('/srv/out'));
    await vm.files.remove('/srv/up');
    assert.ok((await names('/')).includes('srv'));
  });
});
