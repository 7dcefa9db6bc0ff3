import { type CallOptions, VivError } from '@vivarium/model';

/** A call that may be part of a request with an idempotency key: what it makes is marked with the request's id. */
export interface MarkedCall extends CallOptions {
  request?: string;
}

/** How one kind of thing is made once. */
export interface Making<T> {
  /** What is asked for, as JSON: with anything else the key is refused. */
  readonly asked: unknown;
  /** Makes it, and marks it from the first thing on that is durable. `note`: what will have been made, as soon as it is known. */
  make(call: MarkedCall, note: (ids: string[]) => void): Promise<T>;
  /** Ids of what was made. */
  ids(result: T): string[];
  /**
   * What was made, by its ids. Undefined where it is to be made anew since it is not there any more.
   *
   * @throws VivError `not_found` where it was deleted since.
   */
  again(ids: string[]): Promise<T | undefined>;
  /** What a process that was killed left of it, brought to its end. Undefined where that is nothing, or was removed now. */
  found(request: string, call: MarkedCall): Promise<T | undefined>;
  /** Whether what was noted was made to its end before it went. */
  ended?(ids: string[]): boolean;
}

export function differentRequest(): VivError {
  return new VivError('conflict', 'The idempotency key belongs to a request that asked for something else', {
    hint: 'Use a new key for each request, and the same only to ask for the same again.',
  });
}
