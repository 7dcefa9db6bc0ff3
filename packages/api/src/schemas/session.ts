import Type, { type Static } from 'typebox';
import { StringMap, Terminal } from './basic.ts';

const Held = Type.Object(
  { from: Type.Integer({ minimum: 0 }), to: Type.Integer({ minimum: 0 }) },
  { description: 'Offsets, in bytes since its start, between which the output is held.' },
);

export const Session = Type.Object(
  {
    id: Type.String(),
    command: Type.Array(Type.String()),
    purpose: Type.Optional(
      Type.Enum(['workload', 'health_check'], {
        description: 'The command of the image, or a health check. Absent: somebody has started it.',
      }),
    ),
    target: Type.String({ description: 'vm: beside the workloads.' }),
    running: Type.Boolean(),
    exit: Type.Optional(Type.Object({ code: Type.Integer(), signal: Type.Optional(Type.String()) })),
    pid: Type.Integer({ description: 'In the guest.' }),
    tty: Type.Boolean(),
    orphaned: Type.Boolean({ description: 'Started in the machine of which this is a copy.' }),
    stdout: Held,
    stderr: Held,
  },
  { $id: 'Session' },
);
export type Session = Static<typeof Session>;

export const StartSession = Type.Object(
  {
    command: Type.Array(Type.String(), { minItems: 1 }),
    env: Type.Optional(StringMap),
    cwd: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    target: Type.Optional(Type.Enum(['root', 'vm'])),
    tty: Type.Optional(Terminal),
    stdin: Type.Optional(
      Type.Boolean({ description: 'It waits for input by whoever attaches. Default false: end of file.' }),
    ),
  },
  { $id: 'StartSession' },
);
export type StartSession = Static<typeof StartSession>;

export const SignalSession = Type.Object({ signal: Type.String({ pattern: '^SIG[A-Z0-9+]{1,12}$' }) });

export const SessionPiece = Type.Object(
  {
    stream: Type.Enum(['stdout', 'stderr']),
    offset: Type.Integer({ minimum: 0, description: 'Of its first byte.' }),
    data: Type.String({ description: 'Base64.' }),
  },
  { $id: 'SessionPiece' },
);
export type SessionPiece = Static<typeof SessionPiece>;
