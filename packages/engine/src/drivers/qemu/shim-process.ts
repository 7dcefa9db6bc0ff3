import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { VivError } from '@vivarium/model';
import { parseShimFile, type ShimFile } from './record.ts';

/** The shim answers in about 10 ms; a loaded host or a slow fsync may take its time. */
const announcementTimeoutMs = 20_000;
const longestLine = 256 * 1024;

/** A shim as its own launcher sees it, until one of the two lets go. */
export interface StartedShim {
  /** Its one line. @throws VivError with the shim's own code, `vmm_failed`, or the signal's reason. */
  announcement(signal?: AbortSignal): Promise<ShimFile>;
  /** Lets it live on without us. */
  release(): void;
  /** Ends it, and with it the VMM; it reaps and cleans up first. Resolves once it is gone. */
  end(): Promise<void>;
}

/** A child, which may be signalled without a doubt about its pid. */
export class SpawnedShim implements StartedShim {
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
  static spawn(shimPath: string, dir: string, detached: boolean): SpawnedShim {
    const stdio: ['ignore' | 'pipe', 'pipe', 'ignore'] = [detached ? 'ignore' : 'pipe', 'pipe', 'ignore'];
    return new SpawnedShim(spawn(shimPath, [dir], { cwd: '/', env: {}, detached: true, stdio }));
  }

  async announcement(signal?: AbortSignal): Promise<ShimFile> {
    return announced(async (stop) => {
      const { stdout } = this.#child;
      if (stdout && this.#child.pid !== undefined) return new LineReader(stdout).next(stop);
      const [error] = (await once(this.#child, 'error')) as [Error];
      throw error;
    }, signal);
  }

  release(): void {
    this.#child.stdout?.destroy();
    this.#child.unref();
    // Open for as long as this process lives, but no reason for it to.
    (this.#child.stdin as unknown as { unref?(): void } | null)?.unref?.();
  }

  async end(): Promise<void> {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    this.#child.kill('SIGTERM');
    await this.#ended;
    clearTimeout(force);
    this.#child.stdout?.destroy();
    this.#child.stdin?.destroy();
  }
}

/** Lines of a stream, one at a time. */
export class LineReader {
  #text = '';
  #over = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(stream: Readable) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      this.#text += chunk;
      if (this.#text.length > longestLine) stream.destroy();
      this.#wake();
    });
    stream.on('error', (error: Error) => {
      this.#failure = error;
    });
    stream.once('end', () => this.#end());
    stream.once('close', () => this.#end());
  }

  #end(): void {
    this.#over = true;
    this.#wake();
  }

  /** Without its end; what there is of it where nothing more will come. @throws the stream's failure, or the signal's reason. */
  async next(stop: AbortSignal): Promise<string> {
    const wake = () => this.#wake();
    stop.addEventListener('abort', wake);
    try {
      for (;;) {
        stop.throwIfAborted();
        const end = this.#text.indexOf('\n');
        if (end >= 0 || this.#over) {
          if (this.#failure !== undefined && end < 0) throw this.#failure;
          const line = this.#text.slice(0, end < 0 ? undefined : end);
          this.#text = end < 0 ? '' : this.#text.slice(end + 1);
          return line;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      stop.removeEventListener('abort', wake);
    }
  }
}

/** @throws as {@link StartedShim.announcement}. */
export async function announced(
  line: (stop: AbortSignal) => Promise<string>,
  signal?: AbortSignal,
): Promise<ShimFile> {
  const stop = AbortSignal.any([AbortSignal.timeout(announcementTimeoutMs), ...(signal ? [signal] : [])]);
  let text: string;
  try {
    text = await line(stop);
  } catch (cause) {
    signal?.throwIfAborted();
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new VivError(missing ? 'assets_missing' : 'vmm_failed', 'The shim did not start', {
      hint: missing ? 'Run `viv setup`.' : undefined,
      cause,
    });
  }
  return parseAnnouncement(text);
}

function parseAnnouncement(text: string): ShimFile {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new VivError('vmm_failed', 'The shim ended without a word', { cause });
  }
  if (json.ok === true) return parseShimFile(json);
  const { code, message } = (json.error ?? {}) as { code?: unknown; message?: unknown };
  throw VivError.fromRecord({ code: String(code), message: String(message) });
}
