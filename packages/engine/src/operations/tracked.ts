import type { Context as Surroundings } from '@opentelemetry/api';
import {
  type EventResource,
  hasEnded,
  type OperationReport,
  type OperationState,
  type OperationUpdate,
  type Progress,
  type VivError,
} from '@vivarium/model';
import { createId } from '../ids.ts';
import { type Outcome, stateOf } from '../store/journal.ts';
import { OperationSpan } from './tracing.ts';

/** As many of its newest stages are held for whoever comes to watch. */
const keep = 256;

/** How it ended. */
export interface End {
  outcome: Outcome;
  error?: VivError;
  /** RFC 3339. Default: now. */
  at?: string;
}

export interface TrackedOptions {
  action: string;
  resource?: EventResource;
  /** What it is a part of. */
  parent?: Tracked;
  requestId?: string;
  /** Of the caller's own trace. */
  remote?: Surroundings;
  cancel: (by: string) => void;
}

/** One action under way, as it is seen from outside: what it does, what becomes of it, and who watches. */
export class Tracked {
  readonly id = createId();
  readonly action: string;
  readonly parent: Tracked | undefined;
  readonly requestId: string | undefined;
  readonly askedAt = new Date().toISOString();
  resource: EventResource | undefined;
  result: EventResource[] | undefined;
  background = false;
  /** The operation of an instance that was asked for has begun, and tells of itself. */
  claimed = false;
  readonly #span: OperationSpan;
  #cancel: (by: string) => void;
  /** How that has ended, as far as it is known before its caller is told. */
  outcome: Outcome | undefined;
  #state: OperationState = 'pending';
  #step: string | undefined;
  #progress: Progress | undefined;
  #endedAt: string | undefined;
  #error: VivError | undefined;
  #updates: OperationUpdate[] = [];
  #first = 0;
  /** Each of those who wait for news has one. */
  readonly #waiting = new Set<() => void>();

  constructor(options: TrackedOptions) {
    this.action = options.action;
    this.parent = options.parent;
    this.requestId = options.requestId ?? options.parent?.requestId;
    this.#cancel = options.cancel;
    this.#span = new OperationSpan(this.action, this.id, {
      parent: options.parent?.span,
      remote: options.remote,
    });
    const { resource } = options;
    this.resource = resource;
    if (resource !== undefined) this.#span.about(resource.kind, resource.id, resource.name);
  }

  get span(): OperationSpan {
    return this.#span;
  }

  get ended(): boolean {
    return hasEnded({ state: this.#state });
  }

  get report(): OperationReport {
    const { id, action, parent, resource, result, requestId } = this;
    const present = {
      step: this.ended ? undefined : this.#step,
      resource,
      parent: parent?.id,
      background: this.background || undefined,
      progress: this.ended ? undefined : this.#progress,
      endedAt: this.#endedAt,
      error: this.#error?.toJSON(),
      result,
      requestId,
    };
    const known = Object.entries(present).filter(([, value]) => value !== undefined);
    return { id, action, state: this.#state, startedAt: this.askedAt, ...Object.fromEntries(known) };
  }

  get step(): string | undefined {
    return this.#step;
  }

  /** Has it end, as soon as its steps are taken back. */
  cancel(by: string): void {
    this.#cancel(by);
  }

  /** The operation that was asked for begins; it tells of itself from here on, and is what gets cancelled. */
  claim(cancel: (by: string) => void): void {
    this.claimed = true;
    this.#cancel = cancel;
  }

  begin(resource?: EventResource): void {
    if (this.#state === 'pending') this.#state = 'running';
    if (this.resource === undefined && resource !== undefined)
      this.#span.about(resource.kind, resource.id, resource.name);
    this.resource ??= resource;
    // A run is about the instance that it makes.
    this.parent?.begin(resource);
  }

  stepped(step: string): void {
    this.#step = step;
    this.#span.step(step);
    this.#tell({ step });
  }

  progressed(progress: Progress): void {
    this.begin();
    this.#progress = progress;
    this.#tell({ progress });
  }

  end({ outcome, error, at = new Date().toISOString() }: End): void {
    if (this.ended) return;
    this.#state = stateOf(outcome, error);
    this.#error = error;
    this.#endedAt = at;
    this.#span.end(this.#state, error);
    this.#tell({ operation: this.report });
  }

  /** Its stages from the first one that is held, then new ones, then its end. */
  async *watch(signal?: AbortSignal): AsyncGenerator<OperationUpdate> {
    let wake = Promise.withResolvers<void>();
    const look = () => wake.resolve();
    signal?.addEventListener('abort', look);
    this.#waiting.add(look);
    try {
      for (let next = 0; !signal?.aborted; ) {
        wake = Promise.withResolvers();
        // Who is slow misses stages: a later one says what an earlier one did.
        next = Math.max(next, this.#first);
        const update = this.#updates[next - this.#first];
        if (update === undefined) {
          await wake.promise;
          continue;
        }
        next += 1;
        yield update;
        if ('operation' in update) return;
      }
    } finally {
      this.#waiting.delete(look);
      signal?.removeEventListener('abort', look);
    }
  }

  #tell(update: OperationUpdate): void {
    this.#updates.push(update);
    if (this.#updates.length > 2 * keep) {
      this.#first += this.#updates.length - keep;
      this.#updates = this.#updates.slice(-keep);
    }
    for (const look of this.#waiting) look();
  }
}
