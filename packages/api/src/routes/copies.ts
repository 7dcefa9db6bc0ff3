import Type from 'typebox';
import { ForkInstance, ForkInstances } from '../schemas/copies.ts';
import { Instance } from '../schemas/instance.ts';
import { action, boot, saved } from './errors.ts';
import type { RouteRule } from './route.ts';

const copy = [...action, 'invalid_name', 'name_conflict', 'not_supported', ...boot, ...saved] as const;

export const copyRules = {
  forkInstance: {
    summary: 'Copy an instance as it is at this instant; with a count over 1 the answer is an array',
    tag: 'copies',
    scope: 'instance:write',
    origin: 'hypeman',
    body: ForkInstance,
    bodyOptional: true,
    status: 201,
    answer: Type.Union([Instance, Type.Array(Instance)]),
    progress: true,
    errors: [...copy, 'identity_unsafe'],
  },
  forkInstances: {
    summary: 'Copy an instance as it is at this instant, also where it runs',
    tag: 'copies',
    scope: 'instance:write',
    origin: 'vivarium',
    body: ForkInstances,
    bodyOptional: true,
    status: 201,
    answer: Type.Array(Instance),
    progress: true,
    errors: [...copy, 'identity_unsafe'],
  },
} satisfies Record<string, RouteRule>;
