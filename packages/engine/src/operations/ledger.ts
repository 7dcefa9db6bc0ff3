import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context as Surroundings } from '@opentelemetry/api';
import type { EventResource, OperationReport } from '@vivarium/model';
import { surroundingsOf } from './tracing.ts';
import { type End, Tracked, type TrackedOptions } from './tracked.ts';

/** In whose name something is done. */
export interface Origin {
  /** Of the HTTP request. */
  requestId?: string;
  /** W3C Trace Context of the caller. */
  traceparent?: string;
  /** Who asks, among those whose idempotency keys are their own. Default: the owner of the data directory. */
  principal?: string;
}

interface Place extends Pick<Origin, 'requestId' | 'principal'> {
  remote?: Surroundings;
  request?: Tracked;
}

/** Tasks that are made of several operations: the one of the same name is only a part. */
const composite: ReadonlySet<string> = new Set(['run', 'restart', 'fork', 'clone-volume']);

/** Told of each operation that has ended. Must not throw. */
export type EndListener = (report: OperationReport, milliseconds: number) => void;

/** What is under way, by id: requests, and the operations of instances that they are made of. */
export class Ledger {
  /** Those that no request stands for. */
  readonly #own = new WeakSet<Tracked>();
  readonly #live = new Map<string, Tracked>();
  readonly #place = new AsyncLocalStorage<Place>();
  readonly #listeners = new Set<EndListener>();

  find(id: string): Tracked | undefined {
    return this.#live.get(id);
  }

  all(): Iterable<Tracked> {
    return this.#live.values();
  }

  /** The request that this is done for, as long as it is under way. */
  get request(): Tracked | undefined {
    const request = this.#place.getStore()?.request;
    return request?.ended ? undefined : request;
  }

  /** Who asks for what is being done. */
  get principal(): string | undefined {
    return this.#place.getStore()?.principal;
  }

  /** Whatever `work` begins is done in that name. */
  from<T>({ requestId, traceparent, principal }: Origin, work: () => T): T {
    return this.#place.run({ requestId, principal, remote: surroundingsOf(traceparent) }, work);
  }

  /** Whatever `work` begins is a part of the request. */
  within<T>(request: Tracked, work: () => T): T {
    const { requestId } = request;
    return this.#place.run({ requestId, principal: this.principal, request }, work);
  }

  open(options: Omit<TrackedOptions, 'parent' | 'requestId'>): Tracked {
    const { requestId, remote } = this.#place.getStore() ?? {};
    const tracked = new Tracked({ ...options, requestId, remote, parent: this.request });
    this.#live.set(tracked.id, tracked);
    return tracked;
  }

  /**
   * What an operation of an instance is seen as: the request, where it asks for just that, else something of its own. `alone`: it is
   * done for nobody in particular.
   */
  operation(
    action: string,
    resource: EventResource,
    { alone, cancel }: { alone: boolean; cancel: (by: string) => void },
  ): Tracked {
    const request = alone ? undefined : this.request;
    if (request !== undefined && request.action === action && !request.claimed && !composite.has(action)) {
      request.claim(cancel);
      request.begin(resource);
      return request;
    }
    const tracked = alone
      ? this.#place.run({}, () => this.open({ action, resource, cancel }))
      : this.open({ action, resource, cancel });
    tracked.begin(resource);
    this.#own.add(tracked);
    return tracked;
  }

  /** An operation of an instance has ended; where it was a request, that is what ends next. */
  ended(tracked: Tracked, end: End): void {
    tracked.outcome = end.outcome;
    if (!this.#own.has(tracked)) return;
    tracked.end(end);
    this.close(tracked);
  }

  /** It has ended, and has been told so. */
  close(tracked: Tracked): void {
    this.#live.delete(tracked.id);
    const { report } = tracked;
    const milliseconds = Date.parse(report.endedAt ?? report.startedAt) - Date.parse(report.startedAt);
    for (const listener of this.#listeners) listener(report, milliseconds);
  }

  onEnd(listener: EndListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
