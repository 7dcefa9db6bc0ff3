import type { FileChange } from '@vivarium/model';
import { type EventMessage, ProtocolError } from '@vivarium/protocol';
import type { GuestChannel } from './channel.ts';
import { abortError, guestError } from './guest-errors.ts';

/** Changes that nobody has read yet; what comes beyond is given up, and told as lost. */
const mostHeld = 10_000;

const kinds: readonly string[] = [
  'created',
  'modified',
  'attributes',
  'removed',
  'renamed',
] satisfies FileChange['kind'][];

/** Changes on their way to one reader. A slow one loses some, and is told so; it never holds the guest back. */
class ChangeQueue {
  readonly #path: string;
  #held: FileChange[] = [];
  #lost = false;
  #end: { error?: unknown } | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(path: string) {
    this.#path = path;
  }

  take(event: EventMessage): void {
    if (event.name !== 'change') return;
    for (const change of event.fields.maps('changes')) {
      const kind = change.text('kind');
      if (!kinds.includes(kind))
        throw new ProtocolError('invalid_field', `change: there is no kind "${kind}"`);
      const from = kind === 'renamed' ? { from: this.#absolute(change.text('from')) } : {};
      if (this.#held.length >= mostHeld) this.#lost = true;
      else {
        this.#held.push({
          kind: kind as FileChange['kind'],
          path: this.#absolute(change.text('path')),
          ...from,
        });
      }
    }
    if (event.fields.optionalBool('lost')) this.#lost = true;
    this.#notify();
  }

  end(error?: unknown): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#notify();
  }

  async *read(): AsyncGenerator<FileChange> {
    for (;;) {
      const held = this.#held;
      this.#held = [];
      yield* held;
      if (this.#held.length > 0) continue;
      if (this.#lost) {
        this.#lost = false;
        yield { kind: 'lost', path: this.#path };
        continue;
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return;
      await this.#wake.promise;
    }
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #absolute(relative: string): string {
    if (relative === '') return this.#path;
    return `${this.#path === '/' ? '' : this.#path}/${relative}`;
  }
}

/** `fs.watch`: resolves once the agent watches. Ends with the signal, or with its reader. */
export async function openWatch(
  channel: GuestChannel,
  params: { target: string; path: string; recursive: boolean },
  signal?: AbortSignal,
): Promise<AsyncIterable<FileChange>> {
  if (signal?.aborted) throw abortError(signal);
  const queue = new ChangeQueue(params.path);
  const opened = Promise.withResolvers<void>();
  const fail = (error: unknown) => {
    opened.reject(error);
    queue.end(error);
  };
  const stream = channel.open('fs.watch', params, {
    response: (response) => {
      if (response.ok) return opened.resolve();
      stream.release();
      fail(guestError(response.error));
    },
    event: (event) => queue.take(event),
    reset: (error) => fail(guestError(error)),
    lost: fail,
  });
  const leave = () => stream.reset({ code: 'cancelled', message: 'nobody watches any more' });
  const abort = () => {
    leave();
    opened.reject(abortError(signal as AbortSignal));
    queue.end();
  };
  signal?.addEventListener('abort', abort, { once: true });
  const done = () => {
    signal?.removeEventListener('abort', abort);
    leave();
  };
  try {
    await opened.promise;
  } catch (error) {
    done();
    throw error;
  }
  return (async function* () {
    try {
      yield* queue.read();
    } finally {
      done();
    }
  })();
}
