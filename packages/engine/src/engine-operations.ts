import {
  type AskOptions,
  abortReason,
  everyPage,
  hasEnded,
  type OperationListOptions,
  type OperationReport,
  type Operations,
  type OperationUpdate,
  type Page,
  refuseAborted,
  VivError,
} from '@vivarium/model';
import { readOptions } from './engine-events.ts';
import type { Context } from './instances/context.ts';
import type { EndListener } from './operations/ledger.ts';
import type { StoredOperations } from './store/operations.ts';

const mostAtOnce = 1000;

/** What is done and was done in a data directory, as both doors show it. */
export class EngineOperations implements Operations {
  readonly #context: Context;
  readonly #stored: StoredOperations;

  constructor(context: Context, stored: StoredOperations) {
    this.#context = context;
    this.#stored = stored;
  }

  async list(options: OperationListOptions = {}): Promise<Page<OperationReport>> {
    refuseAborted(options);
    const { instance, states, actions, limit = 100, cursor } = options;
    if (!Number.isInteger(limit) || limit < 1 || limit > mostAtOnce) {
      throw new VivError('invalid_request', `Not a page size: ${limit}`, { hint: `1 to ${mostAtOnce}.` });
    }
    const after = cursor === undefined ? undefined : positionOf(cursor);
    const { instanceId } = readOptions(this.#context, { instance });
    // One more than asked for tells that there is a next page.
    const found = this.#stored.list({ instanceId, states, actions, after, limit: limit + 1 });
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const items = page.map((stored) => this.#shown(stored));
    return {
      items: states === undefined ? items : items.filter(({ state }) => states.includes(state)),
      ...(last === undefined ? {} : { next: cursorOf(last) }),
    };
  }

  all(options: Omit<OperationListOptions, 'cursor'> = {}): AsyncGenerator<OperationReport> {
    return everyPage((page) => this.list(page), options);
  }

  async get(id: string, options: AskOptions = {}): Promise<OperationReport> {
    refuseAborted(options);
    const live = this.#context.ledger.find(id);
    if (live !== undefined) return live.report;
    const stored = this.#stored.find(id);
    if (stored === undefined)
      throw new VivError('not_found', `No operation has the id ${JSON.stringify(id)}`);
    return this.#shown(stored);
  }

  async wait(
    id: string,
    { timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<OperationReport> {
    const late = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const either = AbortSignal.any([signal, late].filter((one) => one !== undefined));
    for await (const update of this.watch(id, { signal: either }))
      if ('operation' in update) return update.operation;
    if (signal?.aborted) throw abortReason(signal);
    const { action, state } = await this.get(id);
    throw new VivError('timeout', `The ${action} is ${state} after ${(timeoutMs ?? 0) / 1000} s`);
  }

  async cancel(id: string, options: AskOptions = {}): Promise<OperationReport> {
    const report = await this.get(id, options);
    if (hasEnded(report)) return report;
    this.#context.ledger.find(id)?.cancel('cancel');
    return this.wait(id, options);
  }

  async *watch(id: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<OperationUpdate> {
    const live = this.#context.ledger.find(id);
    if (live !== undefined) yield* live.watch(signal);
    else yield { operation: await this.get(id) };
  }

  /** How many are under way, by action. */
  running(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { action } of this.#context.ledger.all()) counts.set(action, (counts.get(action) ?? 0) + 1);
    return counts;
  }

  /** Called for each operation that has ended, with the milliseconds it took, until the returned function is called. */
  onEnd(listener: EndListener): () => void {
    return this.#context.ledger.onEnd(listener);
  }

  #shown(stored: OperationReport): OperationReport {
    const live = this.#context.ledger.find(stored.id);
    if (live !== undefined) return live.report;
    const { resource } = stored;
    if (resource === undefined || resource.name !== '') return stored;
    return { ...stored, resource: { ...resource, name: this.#context.events.nameOf(resource.id) ?? '' } };
  }
}

const cursorOf = ({ startedAt, id }: OperationReport): string =>
  Buffer.from(`${startedAt} ${id}`).toString('base64url');

function positionOf(cursor: string): { at: string; id: string } {
  const [, at, id] = /^(\d{4}-\S+Z) (\S+)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (at !== undefined && id !== undefined) return { at, id };
  throw new VivError('invalid_request', 'Not a cursor', {
    hint: 'Give the `next` of the page before, as it came.',
  });
}
