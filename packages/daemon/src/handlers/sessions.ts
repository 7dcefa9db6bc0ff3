import { pieceToWire, type Session, type StartSession, sessionToWire } from '@vivarium/api';
import type { ExecOptions } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { jsonForm, streamItems } from '../stream.ts';
import { find } from './find.ts';

const sessionsOf = async (call: Call) => (await find(call)).sessions;
const named = (call: Call): string => call.params.xid ?? '';

export const listSessions: Handler = async (call): Promise<Session[]> =>
  (await (await sessionsOf(call)).list(call.query as { all?: boolean })).map(sessionToWire);

export const startSession: Handler = async (call): Promise<Session> => {
  const { command, target, ...rest } = call.body as StartSession;
  const options = { ...rest, target: target as ExecOptions['target'] };
  return sessionToWire(await (await sessionsOf(call)).start(command, options));
};

export const getSession: Handler = async (call): Promise<Session> =>
  sessionToWire(await (await sessionsOf(call)).get(named(call)));

export const closeSession: Handler = async (call) => (await sessionsOf(call)).kill(named(call));

export const signalSession: Handler = async (call) =>
  (await sessionsOf(call)).signal(named(call), (call.body as { signal: string }).signal);

export const sessionOutput: Handler = async (call) => {
  const { stdout, stderr, follow } = call.query as { stdout?: number; stderr?: number; follow?: boolean };
  const abort = new AbortController();
  const sessions = await sessionsOf(call);
  const pieces = sessions.output(named(call), {
    from: { stdout, stderr },
    follow,
    signal: abort.signal,
  });
  return streamItems(call, pieces, jsonForm(pieceToWire), abort);
};
