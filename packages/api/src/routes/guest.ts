import Type from 'typebox';
import { Copied, PathInfo } from '../schemas/file.ts';
import { guest } from './errors.ts';
import type { RouteRule } from './route.ts';

const path = Type.String({ minLength: 1 });
const follow_links = Type.Optional(Type.Boolean({ description: 'Default false.' }));
const tar = { media: 'application/x-tar', description: 'A tar stream.' } as const;

export const guestRules = {
  statPath: {
    summary: 'What lies at a path in the guest',
    tag: 'guest',
    scope: 'instance:read',
    origin: 'hypeman',
    query: Type.Object({ path, follow_links }),
    status: 200,
    answer: PathInfo,
    errors: guest,
  },
  readFile: {
    summary: 'The content of one file or a part of it, at most 64 MB',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    query: Type.Object({
      path,
      offset: Type.Optional(Type.Integer({ minimum: 0, description: 'First byte. Default 0.' })),
      length: Type.Optional(Type.Integer({ minimum: 0, description: 'At most. Default: all that follow.' })),
    }),
    status: 200,
    answer: { media: 'application/octet-stream', description: 'The file.' },
    errors: [...guest, 'payload_too_large', 'conflict'],
  },
  writeFile: {
    summary: 'Make or replace one file, at most 64 MB',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    query: Type.Object({
      path,
      mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
      uid: Type.Optional(Type.Integer({ minimum: 0 })),
      gid: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
    body: { media: 'application/octet-stream', description: 'The file.' },
    status: 204,
    errors: [...guest, 'payload_too_large', 'disk_full', 'conflict'],
  },
  getArchive: {
    summary: 'A file or tree as a tar stream; one that breaks ends with an x-viv-error trailer',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    query: Type.Object({ path, follow_links }),
    status: 200,
    answer: tar,
    errors: guest,
  },
  putArchive: {
    summary: 'Unpack a tar stream below a directory',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    query: Type.Object({ path }),
    body: tar,
    status: 200,
    answer: Copied,
    errors: [...guest, 'archive_invalid', 'archive_hostile', 'disk_full', 'conflict'],
  },
  exec: {
    summary: 'Run a command (WebSocket; first frame ExecStart)',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'hypeman',
    status: 101,
    errors: ['not_found', 'ambiguous', 'invalid_state'],
  },
  attach: {
    summary: 'The entrypoint’s own stdin and output (WebSocket; first frame ExecStart without a command)',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    status: 101,
    errors: ['not_found', 'ambiguous', 'invalid_state'],
  },
  copy: {
    summary: 'Copy one file in, or a tree out (WebSocket; first frame CopyStart)',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'hypeman',
    status: 101,
    errors: ['not_found', 'ambiguous', 'invalid_state'],
  },
  console: {
    summary: 'The serial console (WebSocket, binary both ways)',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    status: 101,
    errors: ['not_found', 'ambiguous', 'invalid_state'],
  },
  tunnel: {
    summary:
      'A TCP connection to a port in the guest (WebSocket, binary both ways, {"eof":true} ends one way)',
    tag: 'guest',
    scope: 'instance:exec',
    origin: 'vivarium',
    query: Type.Object({
      port: Type.Integer({ minimum: 1, maximum: 65535 }),
      host: Type.Optional(Type.String({ description: 'As the guest sees it. Default its own loopback.' })),
    }),
    status: 101,
    errors: ['not_found', 'ambiguous', 'invalid_state', 'guest_error'],
  },
} satisfies Record<string, RouteRule>;
