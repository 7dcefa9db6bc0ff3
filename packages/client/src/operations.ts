import type { Operation } from '@vivarium/api';
import type { EndpointName } from '@vivarium/api/wire';
import {
  longestWaitMs,
  ndjson,
  operationFromWire,
  operationUpdateFromWire,
  pageOf,
  respondAsync,
  type UpdateLine,
} from '@vivarium/api/wire';
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
  VivError,
} from '@vivarium/model';
import { readLines } from './lines.ts';
import type { Send, Transport } from './transport.ts';
import { items } from './vm.ts';

/** Operations, through the daemon. */
export class RemoteOperations implements Operations {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async list(options: OperationListOptions = {}): Promise<Page<OperationReport>> {
    const { instance, states, actions, limit = 100, cursor } = options;
    if (states?.length === 0 || actions?.length === 0) return { items: [] };
    const query = { instance, state: states && [...states], action: actions && [...actions], limit, cursor };
    const send = { query, signal: options.signal };
    const { value, headers } = await this.#transport.json<Operation[]>('listOperations', send);
    return pageOf(value.map(operationFromWire), headers);
  }

  all(options: Omit<OperationListOptions, 'cursor'> = {}): AsyncGenerator<OperationReport> {
    return everyPage((page) => this.list(page), options);
  }

  get(id: string, { signal }: AskOptions = {}): Promise<OperationReport> {
    return this.#one('getOperation', { params: { id }, signal });
  }

  async wait(
    id: string,
    { timeoutMs = Number.POSITIVE_INFINITY, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<OperationReport> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const left = Math.max(0, deadline - performance.now());
      const query = { wait: `${Math.ceil(Math.min(left, longestWaitMs))}ms` };
      const report = await this.#one('getOperation', { params: { id }, query, signal });
      if (hasEnded(report)) return report;
      if (left > longestWaitMs) continue;
      throw new VivError('timeout', `The ${report.action} is ${report.state} after ${timeoutMs / 1000} s`);
    }
  }

  cancel(id: string, { signal }: AskOptions = {}): Promise<OperationReport> {
    return this.#one('cancelOperation', { params: { id }, signal });
  }

  async *watch(id: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<OperationUpdate> {
    if (signal?.aborted) throw abortReason(signal);
    const answer = await this.#transport.send('operationEvents', { params: { id }, accept: ndjson, signal });
    const lines = items<UpdateLine>(readLines(answer, this.#transport.address, signal), signal);
    for await (const line of lines) yield operationUpdateFromWire(line);
  }

  async #one(name: EndpointName, send: Send): Promise<OperationReport> {
    return operationFromWire((await this.#transport.json<Operation>(name, send)).value);
  }
}

/** Asks for a long call that goes on by itself. @throws VivError `not_supported` where the daemon has answered otherwise. */
export async function detached(
  transport: Transport,
  name: EndpointName,
  send: Send,
): Promise<OperationReport> {
  const answer = await transport.json<Operation>(name, { ...send, prefer: respondAsync });
  if (answer.status === 202) return operationFromWire(answer.value);
  throw new VivError('not_supported', 'The daemon did it at once: it knows no operations in the background');
}
