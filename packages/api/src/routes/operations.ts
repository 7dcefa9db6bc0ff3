import Type from 'typebox';
import { Operation, OperationStateName } from '../schemas/operation.ts';
import type { RouteRule } from './route.ts';

const cancel = {
  summary: 'Cancel it, and answer how it ended: it may have ended before',
  tag: 'operations',
  scope: 'instance:write',
  origin: 'vivarium',
  status: 200,
  answer: Operation,
  errors: ['not_found'],
} as const satisfies RouteRule;

export const operationRules = {
  listOperations: {
    summary: 'Operations under way and past, newest first',
    tag: 'operations',
    scope: 'instance:read',
    origin: 'vivarium',
    query: Type.Object({
      instance: Type.Optional(Type.String({ description: 'Id or name; of a deleted one its id.' })),
      state: Type.Optional(Type.Array(OperationStateName, { description: 'Repeatable; one must fit.' })),
      action: Type.Optional(Type.Array(Type.String(), { description: 'Repeatable; one must fit.' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 100.' })),
      cursor: Type.Optional(Type.String({ description: 'The x-viv-next header of the page before.' })),
    }),
    status: 200,
    answer: Type.Array(Operation),
    errors: ['not_found'],
  },
  getOperation: {
    summary: 'An operation under way or past: what it does, how it ended',
    tag: 'operations',
    scope: 'instance:read',
    origin: 'vivarium',
    query: Type.Object({
      wait: Type.Optional(
        Type.String({ description: 'A Go duration, at most 5m: answers once it has ended, or then.' }),
      ),
    }),
    status: 200,
    answer: Operation,
    errors: ['not_found'],
  },
  operationEvents: {
    summary: 'Its stages from the first one that is held, then how it ended',
    tag: 'operations',
    scope: 'instance:read',
    origin: 'vivarium',
    status: 200,
    answer: {
      media: 'text/event-stream',
      description: 'Events progress and step, at last one event operation.',
    },
    alternative: {
      media: 'application/x-ndjson',
      description: 'Lines of {"progress"} and {"step"}, at last one of {"operation"}.',
    },
    errors: ['not_found'],
  },
  cancelOperation: cancel,
  deleteOperation: cancel,
} satisfies Record<string, RouteRule>;
