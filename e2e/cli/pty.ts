import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** A shell command on a real pseudo-terminal (util-linux `script`); what is typed goes through the terminal's driver. */
export class Pty implements AsyncDisposable {
  readonly #child: ChildProcess;
  #text = '';
  #changed = Promise.withResolvers<void>();

  constructor(command: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env,
    });
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

  /** Everything shown since the last call, once the pattern is in it. */
  async shows(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match !== null) {
        const end = match.index + match[0].length;
        const shown = this.#text.slice(0, end);
        this.#text = this.#text.slice(end);
        return shown;
      }
      assert.equal(this.#child.exitCode, null, `ended without ${pattern}: ${JSON.stringify(this.#text)}`);
      await this.#changed.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
