import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';

const bufferBytes = 128 * 1024;

/**
 * tar2sqfs tells of a full disk as an "I/O error" without a reason, and removes its file. Where there is less room than it
 * was given to write, that was the reason.
 */
async function isFull(file: string, givenBytes: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(path.dirname(file));
  return bavail * bsize < givenBytes;
}

async function failure(
  code: number | null,
  signal: string | null,
  stderr: string,
  file: string,
  givenBytes: number,
): Promise<VivError> {
  const io = /I\/O error/i.test(stderr);
  if (/No space left|quota exceeded/i.test(stderr) || (io && (await isFull(file, givenBytes)))) {
    return new VivError('disk_full', `No space left to unpack a layer in ${path.dirname(file)}`, {
      hint: 'Remove images or instances, or make room otherwise.',
    });
  }
  const how = signal === null ? `exit status ${code}` : signal;
  const message = `A layer could not be made into a disk: tar2sqfs ended with ${how}: ${stderr}`;
  return new VivError(io || signal !== null ? 'internal' : 'image_invalid', message);
}

/**
 * Writes a tar into a squashfs file. zstd at a low level: the guest decompresses, and in an emulated CPU that is what counts;
 * see docs/images.md for the figures.
 *
 * @throws VivError `image_invalid` with what tar2sqfs said, `disk_full`, `assets_missing` without tar2sqfs, `cancelled`.
 */
export class SquashfsWriter {
  readonly #child;
  readonly #file: string;
  readonly #ended: Promise<[code: number | null, signal: string | null]>;
  readonly #signal: AbortSignal | undefined;
  #stderr = '';
  #spawnError: Error | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #givenBytes = 0;

  constructor(file: string, signal?: AbortSignal) {
    this.#signal = signal;
    this.#file = file;
    signal?.throwIfAborted();
    this.#child = spawn(
      'tar2sqfs',
      ['--quiet', '--no-skip', '--compressor', 'zstd', '--comp-extra', 'level=3', '--num-jobs', '2', file],
      {
        stdio: ['pipe', 'ignore', 'pipe'],
        // The time stamp inside: the same layer gives the same bytes.
        env: { ...process.env, SOURCE_DATE_EPOCH: '0' },
      },
    );
    this.#child.on('error', (error) => {
      this.#spawnError = error;
    });
    this.#child.stdin.on('error', () => undefined); // Its end is told by 'close', with the reason.
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4096);
    });
    this.#ended = new Promise((resolve) => this.#child.once('close', (code, how) => resolve([code, how])));
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  readonly #abort = (): void => void this.#child.kill('SIGKILL');

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    if (bytes.length === 0 || this.#child.stdin.write(bytes)) return;
    const waiting = new AbortController();
    const drained = once(this.#child.stdin, 'drain', { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([drained, this.#ended]);
    waiting.abort();
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#spawnError)
      await this.#settle();
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#givenBytes += bytes.length;
    if (this.#heldBytes >= bufferBytes) await this.#flush();
  }

  async #settle(): Promise<void> {
    const [code, how] = await this.#ended;
    this.#signal?.removeEventListener('abort', this.#abort);
    if (this.#spawnError) {
      throw new VivError('assets_missing', 'tar2sqfs cannot be run', {
        hint: 'Install the package squashfs-tools-ng, or run `viv setup`.',
        cause: this.#spawnError,
      });
    }
    if (code === 0) return;
    if (this.#signal?.aborted) throw VivError.from(this.#signal.reason);
    throw await failure(code, how, this.#stderr.trim(), this.#file, this.#givenBytes);
  }

  /** The tar is complete; resolves when the file is. */
  async finish(): Promise<void> {
    await this.#flush();
    this.#child.stdin.end();
    await this.#settle();
  }

  /** Ends the process, whatever it does; the file is the caller's to remove. */
  async abandon(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    this.#signal?.removeEventListener('abort', this.#abort);
  }
}
