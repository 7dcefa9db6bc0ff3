import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Pty } from './pty.ts';
import { collect, launcher, VivHome } from './viv.ts';

const minute = { timeout: 60_000 };

describe('commands in the foreground, with a real VM', () => {
  let viv: VivHome;
  before(async () => {
    viv = await VivHome.make();
    await viv.ok('run', '-d', '--name', 'box', 'busybox', '--', 'sleep', '100000');
  });
  after(() => viv[Symbol.asyncDispose]());

  const pty = (words: string) => new Pty(words.replaceAll('viv ', `${launcher} `), viv.env);

  test('exec -it is a terminal: size, Ctrl-C, and the exit status', minute, async () => {
    await using term = pty(
      `stty rows 31 cols 97; viv exec -it box -- sh; echo "status $?"; stty -a | tr ';' '\\n'; echo done`,
    );
    await term.shows(/# /);
    term.type('stty size; tty\r');
    await term.shows(/31 97\r\n\/dev\/pts\/\d+/);
    // Only once the sleep has the terminal is Ctrl-C a signal; before, it is a key of the shell's line editor.
    term.type("sh -c 'echo started; exec sleep 1000'\r");
    await term.shows(/\r\nstarted\r\n/);
    term.type('\x03');
    await term.shows(/# /);
    term.type('exit 6\r');
    const rest = await term.shows(/done\r\n/);
    assert.match(rest, /status 6/);
    assert.match(rest, /[^-]icanon/);
    assert.match(rest, /[^-]isig/);
  });

  test('a new size of the window reaches the guest', minute, async () => {
    const go = path.join(viv.dir, 'go');
    await using term = pty(
      `mkfifo ${go}; (cat ${go}; stty rows 33 cols 99 < /dev/tty) & viv exec -it box -- sh`,
    );
    await term.shows(/# /);
    term.type("trap 'echo size $(stty size)' WINCH; echo set\r");
    await term.shows(/\r\nset\r\n/);
    writeFileSync(go, '');
    // The shell runs a trap between two commands.
    for (let asked = 0; ; asked++) {
      term.type('stty size; echo asked\r');
      const shown = await term.shows(/\r\nasked\r\n/);
      if (shown.includes('33 99')) break;
      assert.ok(asked < 1000);
    }
  });

  test('run -it detaches with Ctrl-P Ctrl-Q and attach comes back', minute, async () => {
    {
      await using term = pty('viv run -it --name shell busybox; echo "status $?"');
      await term.shows(/# /);
      term.type('word=kept\r');
      await term.shows(/# /);
      term.type('\x10\x11');
      await term.shows(/status 0/);
    }
    assert.equal(await viv.ok('inspect', '-f', '{{.state}}', 'shell'), 'Running\n');
    {
      await using term = pty('viv attach -t shell; echo "status $?"');
      term.type('echo "it is $word"\r');
      await term.shows(/\nit is kept\r\n/);
      term.type('exit 3\r');
      await term.shows(/status 3/);
    }
    await viv.ok('rm', '-f', 'shell');
  });

  test('console shows the serial line and Ctrl-] leaves it', minute, async () => {
    await using term = pty('viv console box; echo "status $?"');
    await term.shows(/Ctrl-\] leaves/);
    await viv.ok('exec', 'box', 'sh', '-c', 'mknod /tmp/serial c 4 64; echo spoken > /tmp/serial');
    await term.shows(/spoken\r?\n/);
    term.type('\x1d');
    await term.shows(/status 0/);
  });

  test('SIGTERM goes to the command, whose exit status it decides', minute, async () => {
    const child = viv.start(
      'run',
      '--rm',
      'busybox',
      'sh',
      '-c',
      'trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.1; done',
    );
    const read = collect(child);
    while (!read().stdout.includes('ready')) await once(child.stdout ?? child, 'data');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'close'), [5, null]);
    assert.equal(read().stdout, 'ready\nbye\n');
    assert.equal(await viv.ok('ls', '-q'), 'box\n');
  });

  test(
    'the second signal ends a command that ignores the first, and --rm removes its VM',
    minute,
    async () => {
      const child = viv.start(
        'run',
        '--rm',
        'busybox',
        'sh',
        '-c',
        'trap "echo told" INT; echo ready; while :; do sleep 0.1; done',
      );
      const read = collect(child);
      while (!read().stdout.includes('ready')) await once(child.stdout ?? child, 'data');
      child.kill('SIGINT');
      while (!read().stdout.includes('told')) await once(child.stdout ?? child, 'data');
      child.kill('SIGINT');
      const [status] = await once(child, 'close');
      assert.notEqual(status, 0);
      assert.equal(await viv.ok('ls', '-q'), 'box\n');
    },
  );

  test('a pipe that closes early ends the command quietly', minute, async () => {
    const shell = `${launcher} exec box -- sh -c 'while echo y; do :; done' | head -n 3; echo "status \${PIPESTATUS[0]}"`;
    const text = execFileSync('bash', ['-c', shell], { env: viv.env, encoding: 'utf8' });
    assert.equal(text, 'y\ny\ny\nstatus 0\n');
  });

  test('an exec goes on when vivd is killed under it, with nothing lost or doubled', minute, async () => {
    const script = 'i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 8';
    const child = viv.start('exec', 'box', '--', 'sh', '-c', script);
    const read = collect(child);
    while (!read().stdout.includes('5\n')) await once(child.stdout ?? child, 'data');
    const { pid } = JSON.parse(readFileSync(path.join(viv.dir, 'owner.json'), 'utf8'));
    process.kill(pid, 'SIGKILL');
    const [status] = await once(child, 'close');
    assert.equal(status, 8, read().stderr);
    assert.equal(read().stdout, Array.from({ length: 40 }, (_, line) => `${line}\n`).join(''));
  });
});
