import Type from 'typebox';
import { StringMap } from '../schemas/basic.ts';
import { Instance } from '../schemas/instance.ts';
import { AttachVolume, CopyVolume, CreateVolume, ResizeVolume, Volume } from '../schemas/volume.ts';
import { action, lookup } from './errors.ts';
import type { RouteRule } from './route.ts';

const made = ['invalid_name', 'invalid_size', 'name_conflict', 'disk_full'] as const;
/** Of a guest that is made for one job. */
const worked = [
  'cancelled',
  'timeout',
  'agent_unreachable',
  'guest_error',
  'vmm_failed',
  'vmm_missing',
] as const;
const changed = [
  ...action,
  'conflict',
  'not_supported',
  'agent_unreachable',
  'guest_error',
  'vmm_failed',
] as const;

const copy = {
  tag: 'volumes',
  scope: 'volume:write',
  origin: 'vivarium',
  body: CopyVolume,
  bodyOptional: true,
  status: 201,
  answer: Volume,
  progress: true,
  errors: [...changed, ...made],
} as const;

export const volumeRules = {
  createVolume: {
    summary: 'Make an empty volume',
    tag: 'volumes',
    scope: 'volume:write',
    origin: 'hypeman',
    body: CreateVolume,
    status: 201,
    answer: Volume,
    errors: made,
  },
  listVolumes: {
    summary: 'All volumes, oldest first',
    tag: 'volumes',
    scope: 'volume:read',
    origin: 'hypeman',
    query: Type.Object({
      tags: Type.Optional({ ...StringMap, description: 'tags[key]=value; all must match.' }),
    }),
    status: 200,
    answer: Type.Array(Volume),
    errors: [],
  },
  importVolume: {
    summary: 'Make a volume of what is in a tar.gz',
    tag: 'volumes',
    scope: 'volume:write',
    origin: 'hypeman',
    query: Type.Object({
      name: Type.Optional(Type.String()),
      size_gb: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Of 2^30 bytes.' })),
      size_bytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Wins over size_gb.' })),
      id: Type.Optional(Type.String()),
      tags: Type.Optional({ ...StringMap, description: 'tags[key]=value.' }),
    }),
    body: { media: 'application/gzip', description: 'A tar stream, plain or compressed by gzip or zstd.' },
    status: 201,
    answer: Volume,
    progress: true,
    errors: [...made, ...worked, 'archive_hostile', 'archive_invalid', 'payload_too_large'],
  },
  getVolume: {
    summary: 'One volume by id, name or id prefix',
    tag: 'volumes',
    scope: 'volume:read',
    origin: 'hypeman',
    status: 200,
    answer: Volume,
    errors: lookup,
  },
  deleteVolume: {
    summary: 'Remove a volume; one that an instance has is refused',
    tag: 'volumes',
    scope: 'volume:delete',
    origin: 'hypeman',
    status: 204,
    errors: [...lookup, 'conflict', 'busy'],
  },
  resizeVolume: {
    summary: 'Grow a volume; at once where a running guest writes to it',
    tag: 'volumes',
    scope: 'volume:write',
    origin: 'vivarium',
    body: ResizeVolume,
    status: 200,
    answer: Volume,
    errors: [...changed, 'invalid_size', 'disk_full'],
  },
  cloneVolume: { ...copy, summary: 'Make a volume that begins as this one is' },
  snapshotVolume: { ...copy, summary: 'Make a volume that stays as this one is' },
  exportVolume: {
    summary: 'All that is in a volume; a stream that breaks ends with an x-viv-error trailer',
    tag: 'volumes',
    scope: 'volume:read',
    origin: 'vivarium',
    status: 200,
    answer: { media: 'application/gzip', description: 'A tar.gz stream.' },
    errors: [...lookup, ...worked, 'conflict', 'busy'],
  },
  attachVolume: {
    summary: 'Give an instance a volume; a running one has it when this is answered',
    tag: 'volumes',
    scope: 'volume:write',
    origin: 'hypeman',
    body: AttachVolume,
    status: 200,
    answer: Instance,
    errors: changed,
  },
  detachVolume: {
    summary: 'Take a volume from an instance; one that is in use is refused unless forced',
    tag: 'volumes',
    scope: 'volume:write',
    origin: 'hypeman',
    query: Type.Object({
      force: Type.Optional(Type.Boolean({ description: 'Also from whoever uses it. Default false.' })),
    }),
    status: 200,
    answer: Instance,
    errors: changed,
  },
} satisfies Record<string, RouteRule>;
