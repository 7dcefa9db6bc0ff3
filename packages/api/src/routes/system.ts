import Type from 'typebox';
import { Capabilities, Doctor, Health, Operation } from '../schemas/system.ts';
import type { RouteRule } from './route.ts';

export const systemRules = {
  health: {
    summary: 'Whether the daemon answers',
    tag: 'system',
    origin: 'hypeman',
    status: 200,
    answer: Health,
    errors: [],
  },
  capabilities: {
    summary: 'What this host and its driver can do',
    tag: 'system',
    origin: 'hypeman',
    status: 200,
    answer: Capabilities,
    errors: [],
  },
  openapi: {
    summary: 'This document',
    tag: 'system',
    origin: 'vivarium',
    status: 200,
    answer: Type.Unknown(),
    errors: [],
  },
  doctor: {
    summary: 'What stands in the way of running VMs here',
    tag: 'system',
    origin: 'vivarium',
    status: 200,
    answer: Doctor,
    errors: [],
  },
  rebuild: {
    summary: 'Restores the database from the records beside the disks, then reports',
    tag: 'system',
    origin: 'vivarium',
    status: 200,
    answer: Doctor,
    errors: ['conflict'],
  },
  getOperation: {
    summary: 'An operation under way or past: what it did, how it ended',
    tag: 'system',
    origin: 'vivarium',
    status: 200,
    answer: Operation,
    errors: ['not_found'],
  },
  events: {
    summary: 'Stored events, then new ones as they come; resumes after Last-Event-ID',
    tag: 'system',
    origin: 'vivarium',
    query: Type.Object({
      since: Type.Optional(Type.Integer({ minimum: 0, description: 'Only later ones. Default: from now.' })),
      instance: Type.Optional(Type.String({ description: 'Id or name.' })),
    }),
    status: 200,
    answer: {
      media: 'text/event-stream',
      description: 'One event each: its sequence number as id, JSON as data.',
    },
    alternative: { media: 'application/x-ndjson', description: 'One event per line.' },
    errors: ['not_found'],
  },
} satisfies Record<string, RouteRule>;
