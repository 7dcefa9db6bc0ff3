import Type from 'typebox';
import { Freed, Template, WarmTemplates } from '../schemas/template.ts';
import { create, lookup } from './errors.ts';
import type { RouteRule } from './route.ts';

export const templateRules = {
  listTemplates: {
    summary: 'Booted memory that starts are made from, most recently used first',
    tag: 'copies',
    scope: 'template:read',
    origin: 'vivarium',
    status: 200,
    answer: Type.Array(Template),
    errors: [],
  },
  warmTemplates: {
    summary: 'Make what a start of such an instance would use, where it is not there',
    tag: 'copies',
    scope: 'template:write',
    origin: 'vivarium',
    body: WarmTemplates,
    bodyOptional: true,
    status: 200,
    answer: Type.Array(Template),
    progress: true,
    errors: create,
  },
  deleteTemplates: {
    summary: 'Remove all templates; instances that were started from them go on',
    tag: 'copies',
    scope: 'template:delete',
    origin: 'vivarium',
    status: 200,
    answer: Freed,
    errors: ['not_supported'],
  },
  deleteTemplate: {
    summary: 'Remove a template by id or id prefix',
    tag: 'copies',
    scope: 'template:delete',
    origin: 'vivarium',
    status: 200,
    answer: Freed,
    errors: [...lookup, 'not_supported'],
  },
} satisfies Record<string, RouteRule>;
