import Type from 'typebox';
import { StringMap } from '../schemas/basic.ts';
import { ForkSnapshot } from '../schemas/copies.ts';
import { Instance } from '../schemas/instance.ts';
import { CreateSnapshot, RestoreSnapshot, Snapshot, SnapshotKind } from '../schemas/snapshot.ts';
import { action, boot, lookup, saved } from './errors.ts';
import type { RouteRule } from './route.ts';

const fork = {
  tag: 'copies',
  scope: 'snapshot:write',
  body: ForkSnapshot,
  bodyOptional: true,
  status: 201,
  progress: true,
  errors: [...action, 'invalid_name', 'name_conflict', 'not_supported', ...boot, ...saved],
} as const;

export const snapshotRules = {
  createSnapshot: {
    summary: 'Keep an instance as it is now under a name; one that runs pauses for a moment',
    tag: 'copies',
    scope: 'snapshot:write',
    origin: 'hypeman',
    body: CreateSnapshot,
    bodyOptional: true,
    status: 201,
    answer: Snapshot,
    progress: true,
    errors: [...action, 'invalid_name', 'name_conflict', 'not_supported', 'vmm_failed', 'disk_full'],
  },
  listInstanceSnapshots: {
    summary: 'Snapshots of one instance, oldest first',
    tag: 'copies',
    scope: 'snapshot:read',
    origin: 'vivarium',
    status: 200,
    answer: Type.Array(Snapshot),
    errors: lookup,
  },
  getInstanceSnapshot: {
    summary: 'One snapshot of an instance by name, id or id prefix',
    tag: 'copies',
    scope: 'snapshot:read',
    origin: 'vivarium',
    status: 200,
    answer: Snapshot,
    errors: lookup,
  },
  deleteInstanceSnapshot: {
    summary: 'Remove a snapshot of an instance by name, id or id prefix',
    tag: 'copies',
    scope: 'snapshot:delete',
    origin: 'vivarium',
    status: 204,
    errors: [...lookup, 'busy', 'conflict'],
  },
  restoreSnapshot: {
    summary: 'Make an instance what a snapshot of it holds; not while it runs',
    tag: 'copies',
    scope: 'snapshot:write',
    origin: 'hypeman',
    body: RestoreSnapshot,
    bodyOptional: true,
    status: 200,
    answer: Instance,
    progress: true,
    errors: [...action, 'not_supported', ...boot, ...saved],
  },
  listSnapshots: {
    summary: 'All snapshots, those of deleted instances among them, oldest first',
    tag: 'copies',
    scope: 'snapshot:read',
    origin: 'hypeman',
    query: Type.Object({
      kind: Type.Optional(SnapshotKind),
      name: Type.Optional(Type.String()),
      source_instance_id: Type.Optional(Type.String()),
      tags: Type.Optional({ ...StringMap, description: 'tags[key]=value; all must match.' }),
    }),
    status: 200,
    answer: Type.Array(Snapshot),
    errors: lookup,
  },
  getSnapshot: {
    summary: 'One snapshot by id or id prefix',
    tag: 'copies',
    scope: 'snapshot:read',
    origin: 'hypeman',
    status: 200,
    answer: Snapshot,
    errors: lookup,
  },
  deleteSnapshot: {
    summary: 'Remove a snapshot by id or id prefix; copies of it go on',
    tag: 'copies',
    scope: 'snapshot:delete',
    origin: 'hypeman',
    status: 204,
    errors: [...lookup, 'busy', 'conflict'],
  },
  forkSnapshot: {
    ...fork,
    summary:
      'Make an instance of a snapshot, Running where it has memory; with a count over 1 the answer is an array',
    origin: 'hypeman',
    answer: Type.Union([Instance, Type.Array(Instance)]),
  },
  forkSnapshots: {
    ...fork,
    summary: 'Make instances of a snapshot, in the state that it holds',
    origin: 'vivarium',
    answer: Type.Array(Instance),
  },
} satisfies Record<string, RouteRule>;
