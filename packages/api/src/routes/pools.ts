import Type from 'typebox';
import { Instance } from '../schemas/instance.ts';
import { CreatePool, Pool, ReleaseInstance } from '../schemas/pool.ts';
import { create } from './errors.ts';
import type { RouteRule } from './route.ts';

export const poolRules = {
  createPool: {
    summary: 'Make a pool: VMs that are ready before they are wanted',
    tag: 'pools',
    scope: 'pool:write',
    origin: 'vivarium',
    body: CreatePool,
    status: 201,
    answer: Pool,
    progress: true,
    errors: create,
  },
  listPools: {
    summary: 'All pools',
    tag: 'pools',
    scope: 'pool:read',
    origin: 'vivarium',
    status: 200,
    answer: Type.Array(Pool),
    errors: [],
  },
  getPool: {
    summary: 'One pool',
    tag: 'pools',
    scope: 'pool:read',
    origin: 'vivarium',
    status: 200,
    answer: Pool,
    errors: ['not_found'],
  },
  deletePool: {
    summary: 'Remove a pool and what is ready in it',
    tag: 'pools',
    scope: 'pool:delete',
    origin: 'vivarium',
    query: Type.Object({
      keep_acquired: Type.Optional(
        Type.Boolean({ description: 'Leave VMs alone that were handed out. Default false.' }),
      ),
    }),
    status: 204,
    progress: true,
    errors: ['not_found'],
  },
  acquireInstance: {
    summary:
      'A VM of the pool that runs; waits for one where none is ready, and gives it back if nobody is there any more',
    tag: 'pools',
    scope: 'pool:write',
    origin: 'vivarium',
    status: 200,
    answer: Instance,
    progress: true,
    errors: ['not_found', 'cancelled', 'timeout', ...create],
  },
  releaseInstance: {
    summary: 'Delete a VM that was acquired, and have it replaced',
    tag: 'pools',
    scope: 'pool:write',
    origin: 'vivarium',
    body: ReleaseInstance,
    status: 204,
    errors: ['not_found', 'ambiguous', 'conflict'],
  },
  poolEvents: {
    summary: 'What happened in a pool, then what happens; ends with the pool',
    tag: 'pools',
    scope: 'pool:read',
    origin: 'vivarium',
    query: Type.Object({
      since: Type.Optional(Type.Integer({ minimum: 0, description: 'Only later ones. Default: from now.' })),
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
