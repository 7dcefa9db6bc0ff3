import Type from 'typebox';
import { Session, SignalSession, StartSession } from '../schemas/session.ts';
import { guest } from './errors.ts';
import type { RouteRule } from './route.ts';

const common = { tag: 'guest', origin: 'vivarium', scope: 'instance:exec' } as const;
const offset = Type.Optional(Type.Integer({ minimum: 0, description: 'Default: the oldest byte held.' }));

export const sessionRules = {
  listSessions: {
    ...common,
    summary: 'The commands in an instance, in the order of their start',
    query: Type.Object({
      all: Type.Optional(
        Type.Boolean({ description: 'Health checks that are being made, too. Default false.' }),
      ),
    }),
    status: 200,
    answer: Type.Array(Session),
    errors: guest,
  },
  startSession: {
    ...common,
    summary: 'Start a command that nobody waits for; its oldest output is given up where that is not read',
    body: StartSession,
    status: 201,
    answer: Session,
    errors: [...guest, 'command_not_found', 'command_not_executable', 'user_not_found', 'conflict'],
  },
  getSession: {
    ...common,
    summary: 'One command by its session’s id or the beginning of that',
    status: 200,
    answer: Session,
    errors: guest,
  },
  closeSession: {
    ...common,
    summary: 'Kill what still runs of it, and forget it',
    status: 204,
    errors: guest,
  },
  signalSession: {
    ...common,
    summary: 'Send a signal to its process group',
    body: SignalSession,
    status: 204,
    errors: [...guest, 'invalid_request', 'conflict'],
  },
  sessionOutput: {
    ...common,
    summary: 'What it printed, from offsets on, whoever is attached',
    query: Type.Object({
      stdout: offset,
      stderr: offset,
      follow: Type.Optional(Type.Boolean({ description: 'Until both outputs have ended. Default false.' })),
    }),
    status: 200,
    answer: { media: 'text/event-stream', description: 'One SessionPiece each, as JSON.' },
    alternative: { media: 'application/x-ndjson', description: 'One SessionPiece per line.' },
    errors: guest,
  },
  attachSession: {
    ...common,
    summary: 'Join a command (WebSocket; as attach); takes it over from whoever is attached',
    status: 101,
    errors: [...guest, 'conflict'],
  },
} satisfies Record<string, RouteRule>;
