import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { VivError } from '@vivarium/model';
import { parseShimFile, type ShimFile } from './record.ts';

/** The shim answers in about 10 ms; a loaded host or a slow fsync may take its time. */
const announcementTimeoutMs = 20_000;
const longestAnnouncement = 256 * 1024;

/** A shim as its own launcher sees it: a child, which may be signalled without a doubt about its pid. */
export class ShimProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    child.on('error', () => {}); // told by announcement()
  }

  /** In a session of its own, with nothing of ours open. `detached: false` gives it a pipe that closes when we end. */
  static spawn(shimPath: string, dir: string, detached: boolean): ShimProcess {
    const stdio: ['ignore' | 'pipe', 'pipe', 'ignore'] = [detached ? 'ignore' : 'pipe', 'pipe', 'ignore'];
    return new ShimProcess(spawn(shimPath, [dir], { cwd: '/', env: {}, detached: true, stdio }));
  }

  /** Its one line. @throws VivError with the shim's own code, `vmm_failed`, or the signal's reason. */
  async announcement(signal?: AbortSignal): Promise<ShimFile> {
    const stop = AbortSignal.any([AbortSignal.timeout(announcementTimeoutMs), ...(signal ? [signal] : [])]);
    let line: string;
    try {
      line = await this.#read(stop);
    } catch (cause) {
      signal?.throwIfAborted();
      const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      throw new VivError(missing ? 'assets_missing' : 'vmm_failed', 'The shim did not start', {
        hint: missing ? 'Run `viv setup`.' : undefined,
        cause,
      });
    }
    return parseAnnouncement(line);
  }

  /** Lets it live on without us. */
  release(): void {
    this.#child.stdout?.destroy();
    this.#child.unref();
    // Open for as long as this process lives, but no reason for it to.
    (this.#child.stdin as unknown as { unref?(): void } | null)?.unref?.();
  }

  /** Ends it, and with it the VMM; it reaps and cleans up first. Resolves once it is gone. */
  async end(): Promise<void> {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    this.#child.kill('SIGTERM');
    await this.#ended;
    clearTimeout(force);
    this.#child.stdout?.destroy();
    this.#child.stdin?.destroy();
  }

  async #read(stop: AbortSignal): Promise<string> {
    const { stdout } = this.#child;
    if (!stdout || this.#child.pid === undefined) {
      const [error] = (await once(this.#child, 'error')) as [Error];
      throw error;
    }
    let text = '';
    const closed = once(stdout, 'close', { signal: stop });
    stdout.setEncoding('utf8');
    stdout.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > longestAnnouncement || text.includes('\n')) stdout.destroy();
    });
    await closed;
    return text;
  }
}

function parseAnnouncement(text: string): ShimFile {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text.split('\n')[0] ?? '') as Record<string, unknown>;
  } catch (cause) {
    throw new VivError('vmm_failed', 'The shim ended without a word', { cause });
  }
  if (json.ok === true) return parseShimFile(json);
  const { code, message } = (json.error ?? {}) as { code?: unknown; message?: unknown };
  throw VivError.fromRecord({ code: String(code), message: String(message) });
}
