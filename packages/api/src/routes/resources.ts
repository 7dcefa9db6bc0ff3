import { LimitsStatus } from '../schemas/limits.ts';
import { HostResources, MemoryReclaimed, ReclaimMemory } from '../schemas/resources.ts';
import { AutoStandbyStatus } from '../schemas/standby.ts';
import { lookup } from './errors.ts';
import type { RouteRule } from './route.ts';

export const resourceRules = {
  getResources: {
    summary: 'What this host has, and what instances have of it',
    tag: 'system',
    scope: 'resource:read',
    origin: 'hypeman',
    status: 200,
    answer: HostResources,
    errors: [],
  },
  reclaimMemory: {
    summary: 'Suspend idle instances that have an auto_standby policy, until so much memory is free',
    tag: 'system',
    scope: 'instance:write',
    origin: 'hypeman',
    body: ReclaimMemory,
    status: 200,
    answer: MemoryReclaimed,
    errors: ['not_supported'],
  },
  instanceLimits: {
    summary: 'Limits of an instance, and who keeps them',
    tag: 'instances',
    scope: 'instance:read',
    origin: 'vivarium',
    status: 200,
    answer: LimitsStatus,
    errors: lookup,
  },
  autoStandbyStatus: {
    summary: 'Why it is not suspended for being idle, and when it will be',
    tag: 'instances',
    scope: 'instance:read',
    origin: 'hypeman',
    status: 200,
    answer: AutoStandbyStatus,
    errors: lookup,
  },
  autoStandbyHold: {
    summary: 'Keep it awake for a whole idle timeout from now',
    tag: 'instances',
    scope: 'instance:write',
    origin: 'hypeman',
    status: 200,
    answer: AutoStandbyStatus,
    errors: [...lookup, 'conflict'],
  },
} satisfies Record<string, RouteRule>;
