import Type from 'typebox';
import { StringMap } from '../schemas/basic.ts';
import {
  CreateInstance,
  Instance,
  StandbyInstance,
  StartInstance,
  Stats,
  StopInstance,
  UpdateInstance,
  WaitAnswer,
} from '../schemas/instance.ts';
import { VivState, WireState } from '../schemas/state.ts';
import { action, boot, create, lookup, saved } from './errors.ts';
import type { RouteRule } from './route.ts';

const act = (summary: string, more: Partial<RouteRule> = {}): RouteRule => ({
  summary,
  tag: 'instances',
  origin: 'vivarium',
  status: 200,
  answer: Instance,
  progress: true,
  ...more,
  errors: [...action, ...(more.errors ?? [])],
});

export const instanceRules = {
  createInstance: {
    summary: 'Make an instance, and start it unless told otherwise',
    tag: 'instances',
    origin: 'hypeman',
    body: CreateInstance,
    status: 201,
    answer: Instance,
    progress: true,
    errors: create,
  },
  listInstances: {
    summary: 'Instances, newest first as stored; all of them without a limit',
    tag: 'instances',
    origin: 'hypeman',
    query: Type.Object({
      state: Type.Optional(WireState),
      viv_state: Type.Optional(Type.Array(VivState, { description: 'Repeatable.' })),
      tags: Type.Optional({ ...StringMap, description: 'tags[key]=value; all must match.' }),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      cursor: Type.Optional(Type.String({ description: 'The x-viv-next header of the page before.' })),
    }),
    status: 200,
    answer: Type.Array(Instance),
    errors: [],
  },
  getInstance: {
    summary: 'One instance by id, name or id prefix',
    tag: 'instances',
    origin: 'hypeman',
    status: 200,
    answer: Instance,
    errors: lookup,
  },
  updateInstance: {
    summary: 'Rename it, grow its disk, or change what keeps it going, its environment or its tags',
    tag: 'instances',
    origin: 'hypeman',
    body: UpdateInstance,
    status: 200,
    answer: Instance,
    errors: [
      ...action,
      'invalid_name',
      'invalid_size',
      'name_conflict',
      'disk_full',
      'not_supported',
      'invalid_state',
    ],
  },
  deleteInstance: {
    summary: 'Delete it, stopping it first unless force=false',
    tag: 'instances',
    origin: 'hypeman',
    query: Type.Object({
      force: Type.Optional(Type.Boolean({ description: 'False: a live one is refused. Default true.' })),
      graceful_shutdown: Type.Optional(Type.Boolean({ description: 'Ask the guest first. Default false.' })),
    }),
    status: 204,
    progress: true,
    errors: action,
  },
  startInstance: act('Start it, from its saved memory where it has some; on a running one nothing changes', {
    origin: 'hypeman',
    body: StartInstance,
    bodyOptional: true,
    errors: ['not_supported', ...boot, ...saved],
  }),
  suspendInstance: act('Save its memory and end its VMM; on a suspended one nothing changes', {
    origin: 'hypeman',
    body: StandbyInstance,
    bodyOptional: true,
    errors: ['not_supported', 'vmm_failed', 'disk_full', 'agent_unreachable'],
  }),
  restoreInstance: act('Start it from its saved memory; one that has none is refused', {
    origin: 'hypeman',
    errors: [...boot, ...saved],
  }),
  discardInstance: act('Give its saved memory up'),
  stopInstance: act('Stop it: ask the guest, wait, then force', {
    origin: 'hypeman',
    body: StopInstance,
    bodyOptional: true,
  }),
  restartInstance: act('Stop and start it', {
    body: Type.Object({ timeout_ms: Type.Optional(Type.Integer({ minimum: 0 })) }),
    bodyOptional: true,
    errors: boot,
  }),
  prepareInstance: act('Start its VMM without booting the guest', { errors: boot }),
  pauseInstance: act('Freeze its vCPUs'),
  resumeInstance: act('Let its vCPUs go on'),
  shutdownInstance: act('Power the guest off and keep the VMM'),
  waitInstance: {
    summary: 'Answers once it is in a state, in one from which it cannot be reached, or when time is up',
    tag: 'instances',
    origin: 'hypeman',
    query: Type.Object({
      state: Type.Optional(WireState),
      viv_state: Type.Optional(Type.Array(VivState, { description: 'Repeatable; instead of state.' })),
      health: Type.Optional(
        Type.Enum(['starting', 'healthy', 'unhealthy', 'unknown'], { description: 'Instead of a state.' }),
      ),
      timeout: Type.Optional(Type.String({ description: 'A Go duration. Default 60s, at most 5m.' })),
    }),
    status: 200,
    answer: WaitAnswer,
    errors: [...lookup, 'invalid_state'],
  },
  instanceLogs: {
    summary: 'Its log lines',
    tag: 'instances',
    origin: 'hypeman',
    query: Type.Object({
      tail: Type.Optional(Type.String({ pattern: '^(\\d{1,9}|all)$', description: 'Default 100.' })),
      follow: Type.Optional(Type.Boolean({ description: 'Go on with new lines. Default false.' })),
      source: Type.Optional(Type.Enum(['app', 'vmm', 'hypeman', 'console', 'vivarium'])),
    }),
    status: 200,
    answer: { media: 'text/event-stream', description: 'Each line as a JSON string.' },
    alternative: { media: 'application/x-ndjson', description: 'Each line with its time and stream.' },
    errors: [...lookup, 'log_not_found'],
  },
  instanceStats: {
    summary: 'Use of CPU, memory, disk and network',
    tag: 'instances',
    origin: 'hypeman',
    status: 200,
    answer: Stats,
    errors: [...lookup, 'invalid_state', 'agent_unreachable', 'protocol_error'],
  },
} satisfies Record<string, RouteRule>;
