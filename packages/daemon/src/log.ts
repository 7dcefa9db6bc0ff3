import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

const maxLogBytes = 8 * 1024 * 1024;

/** The daemon's own log: a JSON object per line, at most two files of 8 MB. */
export class DaemonLog implements Disposable {
  readonly path: string;
  #fd: number;
  #bytes: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a', 0o600);
    this.#bytes = fstatSync(this.#fd).size;
  }

  info(message: string, fields: Record<string, unknown> = {}): void {
    this.#write('info', message, fields);
  }

  error(message: string, error: unknown, fields: Record<string, unknown> = {}): void {
    const stack = error instanceof Error ? error.stack : String(error);
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.stack : undefined;
    this.#write('error', message, { ...fields, stack, ...(cause === undefined ? {} : { cause }) });
  }

  #write(level: string, message: string, fields: Record<string, unknown>): void {
    if (this.#fd < 0) return;
    const line = `${JSON.stringify({ at: new Date().toISOString(), level, message, ...fields })}\n`;
    if (this.#bytes > maxLogBytes) this.#rotate();
    try {
      this.#bytes += writeSync(this.#fd, line);
    } catch (error) {
      // A log that can't be written (disk full) must not end the daemon; its standard error may still be read.
      process.stderr.write(`${String(error)}: ${line}`);
    }
  }

  #rotate(): void {
    closeSync(this.#fd);
    renameSync(this.path, `${this.path}.1`);
    this.#fd = openSync(this.path, 'a', 0o600);
    this.#bytes = 0;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
