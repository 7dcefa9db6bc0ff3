import Type from 'typebox';
import {
  DirectoryEntry,
  MakeDirectory,
  RemovedPath,
  RenamePath,
  SetAttributes,
} from '../schemas/directory.ts';
import { guest } from './errors.ts';
import type { RouteRule } from './route.ts';

const path = Type.String({ minLength: 1 });
const common = { tag: 'guest', scope: 'instance:exec', origin: 'vivarium' } as const;
const steps = [...guest, 'invalid_request', 'conflict', 'disk_full', 'not_supported'] as const;

export const fileRules = {
  listDirectory: {
    ...common,
    summary: 'What a directory has, by name; the name to go on after is in x-viv-next',
    query: Type.Object({
      path,
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default: all.' })),
      cursor: Type.Optional(Type.String({ description: 'The x-viv-next header of the page before.' })),
    }),
    status: 200,
    answer: Type.Array(DirectoryEntry),
    errors: steps,
  },
  makeDirectory: {
    ...common,
    summary: 'Make a directory, with all on the way where parents is true',
    body: MakeDirectory,
    status: 204,
    errors: steps,
  },
  removePath: {
    ...common,
    summary: 'Remove a file, link or empty directory, or a tree where recursive is true',
    query: Type.Object({
      path,
      recursive: Type.Optional(Type.Boolean({ description: 'Default false.' })),
      force: Type.Optional(Type.Boolean({ description: 'What is not there is no error. Default false.' })),
    }),
    status: 200,
    answer: RemovedPath,
    errors: steps,
  },
  renamePath: {
    ...common,
    summary: 'Rename within one file system',
    body: RenamePath,
    status: 204,
    errors: steps,
  },
  setAttributes: {
    ...common,
    summary: 'Set mode and owner; what is absent stays',
    body: SetAttributes,
    status: 204,
    errors: steps,
  },
  watchPath: {
    ...common,
    summary: 'What happens at a path, as it happens; ends when it is gone',
    query: Type.Object({
      path,
      recursive: Type.Optional(Type.Boolean({ description: 'All directories below too. Default false.' })),
    }),
    status: 200,
    answer: { media: 'text/event-stream', description: 'One FileChange each, as JSON.' },
    alternative: { media: 'application/x-ndjson', description: 'One FileChange per line.' },
    errors: steps,
  },
} satisfies Record<string, RouteRule>;
