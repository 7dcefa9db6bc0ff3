import {
  longestWaitMs,
  nextPageHeader,
  operationToWire,
  operationUpdateToWire,
  parseDuration,
} from '@vivarium/api';
import { isVivError, type OperationState, type OperationUpdate } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { jsonForm, streamItems } from '../stream.ts';

const id = (call: Call): string => call.params.id ?? '';

export const listOperations: Handler = async (call) => {
  const query = call.query as {
    instance?: string;
    state?: OperationState[];
    action?: string[];
    limit?: number;
    cursor?: string;
  };
  const { instance, state: states, action: actions, limit, cursor } = query;
  const page = await call.engine.operations.list({ instance, states, actions, limit, cursor });
  if (page.next !== undefined) call.headers[nextPageHeader] = page.next;
  return page.items.map(operationToWire);
};

export const getOperation: Handler = async (call) => {
  const { operations } = call.engine;
  const { wait } = call.query as { wait?: string };
  if (wait !== undefined) {
    const timeoutMs = Math.min(parseDuration(wait), longestWaitMs);
    try {
      return operationToWire(await operations.wait(id(call), { timeoutMs, signal: call.signal }));
    } catch (error) {
      if (!isVivError(error, 'timeout')) throw error;
    }
  }
  return operationToWire(await operations.get(id(call)));
};

export const cancelOperation: Handler = async (call) =>
  operationToWire(await call.engine.operations.cancel(id(call)));

export const deleteOperation = cancelOperation;

export const operationEvents: Handler = async (call) => {
  await call.engine.operations.get(id(call));
  const abort = new AbortController();
  const form = jsonForm(operationUpdateToWire, {
    heads: (update: OperationUpdate) => `event: ${Object.keys(update)[0]}\n`,
  });
  return streamItems(call, call.engine.operations.watch(id(call), { signal: abort.signal }), form, abort);
};
