import Type from 'typebox';
import { Capabilities, Doctor, Health } from '../schemas/system.ts';
import type { RouteRule } from './route.ts';

export const systemRules = {
  health: {
    summary: 'Whether the daemon answers',
    tag: 'system',
    scope: 'public',
    origin: 'hypeman',
    status: 200,
    answer: Health,
    errors: [],
  },
  capabilities: {
    summary: 'What this host and its driver can do',
    tag: 'system',
    scope: 'resource:read',
    origin: 'hypeman',
    status: 200,
    answer: Capabilities,
    errors: [],
  },
  openapi: {
    summary: 'This document',
    tag: 'system',
    scope: 'public',
    origin: 'vivarium',
    status: 200,
    answer: Type.Unknown(),
    errors: [],
  },
  docs: {
    summary: 'This document as a page for people',
    tag: 'system',
    scope: 'public',
    origin: 'vivarium',
    status: 200,
    answer: { media: 'text/html', description: 'The page; it needs nothing else.' },
    errors: [],
  },
  doctor: {
    summary: 'What stands in the way of running VMs here',
    tag: 'system',
    scope: 'resource:read',
    origin: 'vivarium',
    status: 200,
    answer: Doctor,
    errors: [],
  },
  rebuild: {
    summary: 'Restores the database from the records beside the disks, then reports',
    tag: 'system',
    scope: 'resource:write',
    origin: 'vivarium',
    status: 200,
    answer: Doctor,
    errors: ['conflict'],
  },
} satisfies Record<string, RouteRule>;
