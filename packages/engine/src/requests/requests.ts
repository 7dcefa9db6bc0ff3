import { createHash } from 'node:crypto';
import { abortReason, checkIdempotencyKey, type MakingOptions, VivError } from '@vivarium/model';
import { SharedWork } from '../images/shared-work.ts';
import type { RequestStore, StoredRequest } from '../store/requests.ts';
import { differentRequest, type Making, type MarkedCall } from './request.ts';

/**
 * Carries requests that have an idempotency key out once. Before the work begins the key is on disk, and what is made bears the
 * request's id from its first record on; so whoever asks again, also after a kill, finds the thing itself rather than a note about it.
 */
export class Requests {
  readonly #store: RequestStore;
  readonly #warn: (message: string) => void;
  readonly #asker: { readonly principal: string | undefined };
  readonly #underWay = new SharedWork<unknown>();

  /** `asker`: who asks for what is being done at the moment. */
  constructor(
    store: RequestStore,
    warn: (message: string) => void,
    asker: { readonly principal: string | undefined },
  ) {
    this.#store = store;
    this.#warn = warn;
    this.#asker = asker;
  }

  /** @throws VivError `invalid_request` for no key, `conflict` for another request's. */
  async once<T>({ idempotencyKey, ...call }: MakingOptions, making: Making<T>): Promise<T> {
    const { signal, onProgress } = call;
    if (idempotencyKey === undefined) return making.make({ signal, onProgress }, () => undefined);
    if (signal?.aborted) throw abortReason(signal);
    checkIdempotencyKey(idempotencyKey);
    const { principal } = this.#asker;
    // A key has no line breaks. Nobody's key answers what somebody else has asked for.
    const key = principal === undefined ? idempotencyKey : `${principal}\n${idempotencyKey}`;
    const print = fingerprint(making.asked);
    const request = this.#store.begin(key, print);
    if (request.fingerprint !== print) throw differentRequest();
    try {
      const work = (shared: AbortSignal, listener: MarkedCall['onProgress']) =>
        this.#carryOut(key, request, making, { signal: shared, onProgress: listener, request: request.id });
      return (await this.#underWay.run(key, { signal, onProgress }, work)) as T;
    } catch (error) {
      throw signal?.aborted ? abortReason(signal) : error;
    }
  }

  async #carryOut<T>(key: string, begun: StoredRequest, making: Making<T>, call: MarkedCall): Promise<T> {
    // Whoever was before us may have come to an end since.
    const now = begun.fresh ? begun : (this.#store.find(key) ?? begun);
    const before = now.fresh ? undefined : await this.#before(now, making, call);
    try {
      const result = before ?? (await making.make(call, (ids) => this.#store.note(begun.id, ids)));
      this.#end(begun.id, 'done', making.ids(result));
      return result;
    } catch (error) {
      this.#end(begun.id, 'failed');
      throw error;
    }
  }

  async #before<T>(
    { id, outcome, made = [] }: StoredRequest,
    making: Making<T>,
    call: MarkedCall,
  ): Promise<T | undefined> {
    if (outcome === 'done') return making.again(made);
    const found = await making.found(id, call);
    if (found === undefined && outcome === undefined && made.length > 0 && making.ended?.(made))
      return making.again(made);
    return found;
  }

  /** Where this can't be written the mark on what was made still says it. */
  #end(id: string, outcome: 'done' | 'failed', made?: string[]): void {
    try {
      this.#store.end(id, outcome, made);
    } catch (error) {
      this.#warn(`The end of a request was not written: ${VivError.from(error).message}`);
    }
  }
}

/** The same for whatever is the same as JSON, in any order of its fields. */
function fingerprint(asked: unknown): string {
  const sorted = (_key: string, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash('sha256').update(JSON.stringify(asked, sorted)).digest('base64url');
}
