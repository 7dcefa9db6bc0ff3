import type { ErrorRecord } from './errors.ts';
import type { EventResource } from './events.ts';
import type { OperationInfo, Page } from './instance.ts';
import type { AskOptions, Progress } from './progress.ts';

/**
 * `pending`: asked for, and waits for another one to end. `undone`: failed, and every step was taken back; `cancelled`: the same
 * because somebody wanted it. `failed`: something is left, and `error` says what.
 */
export type OperationState = 'pending' | 'running' | 'done' | 'undone' | 'failed' | 'cancelled';

/** One action, under way or past. The newest 10,000 that have ended are held. */
export interface OperationReport extends OperationInfo {
  state: OperationState;
  /** What it is done to: an instance, an image, …; absent as long as that does not exist. */
  resource?: EventResource;
  /** The operation it is a part of: a `run` is a `create` and a `start`. */
  parent?: string;
  /** Nobody has to stay for it: it was asked for with {@link Task.detach}, or over HTTP with `Prefer: respond-async`. */
  background?: boolean;
  /** What it told last; gone with its step when it has ended. */
  progress?: Progress;
  /** RFC 3339. */
  endedAt?: string;
  error?: ErrorRecord;
  /** What came out of it. */
  result?: EventResource[];
  /** Of the HTTP request that asked for it. */
  requestId?: string;
}

/** What is to be seen of an operation while it goes on. The last one is `operation`: how it ended. */
export type OperationUpdate = { progress: Progress } | { step: string } | { operation: OperationReport };

export interface OperationListOptions extends AskOptions {
  /** Id or name; of a deleted one its id. */
  instance?: string;
  states?: readonly OperationState[];
  actions?: readonly string[];
  /** 1 to 1000. Default 100. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}

/** Everything that is done, or was: what was asked for in the background, pulls and imports, and every action on an instance. */
export interface Operations {
  /** Newest first. */
  list(options?: OperationListOptions): Promise<Page<OperationReport>>;
  all(options?: Omit<OperationListOptions, 'cursor'>): AsyncIterable<OperationReport>;
  /** @throws VivError `not_found`. */
  get(id: string, options?: AskOptions): Promise<OperationReport>;
  /**
   * Resolves once it has ended, however it did: look at `state`. @throws VivError `timeout` after `timeoutMs` (default: never),
   * `not_found`.
   */
  wait(id: string, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<OperationReport>;
  /**
   * Has it cancelled, and resolves once its steps are taken back. One that ends before that is hears of nothing: the state tells
   * which it was.
   */
  cancel(id: string, options?: AskOptions): Promise<OperationReport>;
  /** Its stages from the first one that is held, then its end. */
  watch(id: string, options?: { signal?: AbortSignal }): AsyncIterable<OperationUpdate>;
}

const over: ReadonlySet<OperationState> = new Set(['done', 'undone', 'failed', 'cancelled']);

export function hasEnded({ state }: Pick<OperationReport, 'state'>): boolean {
  return over.has(state);
}
