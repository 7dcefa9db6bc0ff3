import Type, { type Static } from 'typebox';
import { StringMap } from './basic.ts';

const offset = Type.Integer({ minimum: 0 });
const rows = Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 }));

/** The first frame of an exec socket; the fields from `channels` on are ours. */
export const ExecStart = Type.Object(
  {
    command: Type.Optional(Type.Array(Type.String())),
    tty: Type.Optional(Type.Boolean()),
    env: Type.Optional(StringMap),
    cwd: Type.Optional(Type.String()),
    timeout: Type.Optional(Type.Number({ minimum: 0, description: 'Seconds; 0 is none.' })),
    wait_for_agent: Type.Optional(Type.Number({ minimum: 0, description: 'Seconds to wait for Running.' })),
    rows,
    cols: rows,
    channels: Type.Optional(
      Type.Boolean({ description: 'A session: separate streams that survive a lost connection.' }),
    ),
    exec_id: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9:_-]{1,128}$',
        description: 'Names the session. None with a colon can be started.',
      }),
    ),
    stdin: Type.Optional(
      Type.Boolean({ description: 'False: the command reads end of file. Default true.' }),
    ),
    user: Type.Optional(Type.String()),
    target: Type.Optional(Type.Enum(['root', 'vm'])),
    resume: Type.Optional(
      Type.Object(
        { stdout: offset, stderr: offset },
        { description: 'Join the session again at these offsets.' },
      ),
    ),
  },
  { $id: 'ExecStart' },
);
export type ExecStart = Static<typeof ExecStart>;

/** What a client says in text frames once the command runs. */
export const ExecControl = Type.Object(
  {
    resize: Type.Optional(
      Type.Object({
        rows: Type.Integer({ minimum: 1, maximum: 10_000 }),
        cols: Type.Integer({ minimum: 1, maximum: 10_000 }),
      }),
    ),
    signal: Type.Optional(Type.String({ pattern: '^SIG[A-Z0-9+]{1,12}$' })),
    stdin_eof: Type.Optional(Type.Boolean()),
    ack: Type.Optional(Type.Object({ stdout: offset, stderr: offset })),
    close: Type.Optional(Type.Boolean({ description: 'Kill what still runs, and forget the session.' })),
  },
  { $id: 'ExecControl' },
);
export type ExecControl = Static<typeof ExecControl>;

/** What the daemon says in text frames of a session. */
export const ExecNotice = Type.Object(
  {
    started: Type.Optional(
      Type.Object({
        exec_id: Type.String(),
        stdin: offset,
        stdout: offset,
        stderr: offset,
        resumed: Type.Boolean(),
      }),
    ),
    stdin_ack: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes the guest has taken.' })),
    stdin_written: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Bytes the daemon has passed on.' }),
    ),
    exitCode: Type.Optional(Type.Integer()),
    signal: Type.Optional(Type.String()),
    timed_out: Type.Optional(Type.Boolean()),
    error: Type.Optional(
      Type.Object({
        code: Type.String(),
        message: Type.String(),
        hint: Type.Optional(Type.String()),
        details: Type.Optional(Type.Unknown()),
      }),
    ),
  },
  { $id: 'ExecNotice' },
);
export type ExecNotice = Static<typeof ExecNotice>;

/** The first frame of a copy socket. */
export const CopyStart = Type.Object(
  {
    direction: Type.Enum(['to', 'from', 'stat']),
    guest_path: Type.String({ minLength: 1 }),
    is_dir: Type.Optional(Type.Boolean()),
    mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
    follow_links: Type.Optional(Type.Boolean()),
    uid: Type.Optional(Type.Integer({ minimum: 0 })),
    gid: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { $id: 'CopyStart' },
);
export type CopyStart = Static<typeof CopyStart>;
