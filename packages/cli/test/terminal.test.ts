import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fakeMain = fileURLToPath(new URL('./fake-main.ts', import.meta.url));
const viv = (...words: string[]) => [process.execPath, fakeMain, ...words].join(' ');

/** A shell command on a real pseudo-terminal (util-linux `script`); what is typed goes through the terminal's driver. */
class Pty implements AsyncDisposable {
  readonly #child: ChildProcess;
  #text = '';
  #changed = Promise.withResolvers<void>();

  constructor(command: string) {
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (data: Buffer) => {
      this.#text += data.toString();
      this.#wake();
    });
    this.#child.once('exit', () => this.#wake());
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Everything shown, once the pattern is in it. */
  async shows(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#text)) {
      assert.equal(this.#child.exitCode, null, `ended without ${pattern}: ${JSON.stringify(this.#text)}`);
      await this.#changed.promise;
    }
    return this.#text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const settings = 'stty -a | grep -o -- "-*icanon\\|-*isig\\|-*echo " | tr "\\n" " "';

test('keys reach the guest raw, Ctrl-C among them, and the terminal is cooked again afterwards', {
  timeout: 20_000,
}, async () => {
  await using pty = new Pty(
    `${settings}; ${viv('run', '-it', 'busybox', 'keys')}; echo "status $?"; ${settings}; echo done`,
  );
  await pty.shows(/ready\r\n/);
  pty.type('a\x03\x1a\r');
  await pty.shows(/<61><03><1a><0d>/);
  pty.type('q');
  const text = await pty.shows(/done\r\n$/);
  assert.match(text, /status 5/);
  const modes = [...text.matchAll(/-?isig -?icanon -?echo /g)].map(([mode]) => mode);
  assert.deepEqual(modes, ['isig icanon echo ', 'isig icanon echo ']);
});

test('Ctrl-P Ctrl-Q gives the terminal back', { timeout: 20_000 }, async () => {
  await using pty = new Pty(
    `${viv('run', '-it', 'busybox', 'keys')}; echo "status $?"; ${settings}; echo done`,
  );
  await pty.shows(/ready/);
  pty.type('\x10\x11');
  const text = await pty.shows(/done\r\n$/);
  assert.match(text, /detached from quiet-otter-1[\s\S]*status 0\r\nisig icanon echo /);
});

test('a new size of the window is told to the guest', { timeout: 20_000 }, async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'viv-pty-'));
  try {
    // Setting a terminal's size makes the kernel send SIGWINCH to whoever is in its foreground.
    const resize = `(cat ${dir}/go; stty rows 33 cols 99 < /dev/tty)`;
    await using pty = new Pty(`mkfifo ${dir}/go; ${resize} & ${viv('run', '-it', 'busybox', 'sizes')}`);
    await pty.shows(/ready/);
    writeFileSync(`${dir}/go`, '');
    await pty.shows(/resize 33x99/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a reader that goes away ends the command without a word', { timeout: 20_000 }, async () => {
  const child = spawn(
    'bash',
    ['-c', `${viv('run', '--rm', 'busybox', 'forever')} | head -n 2; echo "status \${PIPESTATUS[0]}"`],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  assert.equal(text, 'line 0\nline 1\nstatus 0\n');
});
