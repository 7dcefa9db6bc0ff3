import { type ExecOffsets, type ExecOptions, type TerminalSize, VivError } from '@vivarium/model';
import type { Guest, GuestExecConnection } from '../guest/guest.ts';
import { createId } from '../ids.ts';
import { invalidState } from './actions.ts';
import type { Instance } from './instance.ts';
import { LastingExec } from './lasting-exec.ts';
import { checkExecId, rootSession } from './session-ids.ts';

/** What a command in a guest is started with, without what only its caller's side knows. */
export interface ExecRequest extends Pick<ExecOptions, 'env' | 'cwd' | 'user' | 'tty' | 'target'> {
  argv: readonly string[];
  /** False: it reads end of file at once. */
  stdin: boolean;
  /** Nobody waits for it: what is not read is given up. */
  ring?: boolean;
  /** Names the session. Default: a new id. */
  execId?: string;
}

/** The agent of a running VM. @throws VivError `invalid_state` in any other state. */
export function guestOf(instance: Instance, action: string): Guest {
  const { guest } = instance;
  if (instance.state !== 'Running' || guest === undefined) {
    throw invalidState(instance, action, instance.state === 'Stopped' ? 'Start it first.' : undefined);
  }
  return guest;
}

/** Starts a command. No lock is held while it runs: any number run beside each other and beside an operation. */
export async function startExec(
  instance: Instance,
  request: ExecRequest,
  signal?: AbortSignal,
): Promise<GuestExecConnection> {
  if (request.argv.length === 0 || request.argv[0] === '') {
    throw new VivError('invalid_request', 'A command is needed', { hint: "For a shell: `['sh']`." });
  }
  if (request.argv.some((word) => word.includes('\0')))
    throw new VivError('invalid_request', 'The command has a NUL byte');
  const guest = guestOf(instance, 'exec in');
  const connection = await guest.exec(
    {
      execId: request.execId === undefined ? `exec-${createId()}` : checkExecId(request.execId),
      target: request.target ?? 'root',
      argv: request.argv,
      env: request.env ?? {},
      cwd: request.cwd,
      user: request.user,
      tty: request.tty,
      stdin: request.stdin,
      output: request.ring ? 'ring' : undefined,
    },
    signal,
  );
  return new LastingExec(instance, guest, connection);
}

/** Goes on with a session. The root workload's is `workload:root`; whoever reads that one is waited for. */
export async function resumeExec(
  instance: Instance,
  execId: string,
  from?: ExecOffsets,
  signal?: AbortSignal,
): Promise<GuestExecConnection> {
  const guest = guestOf(instance, 'attach to');
  const connection = new LastingExec(instance, guest, await guest.resumeExec(execId, from, signal));
  if (execId === rootSession) instance.readers.add(connection);
  return connection;
}

/** Joins the image's own process; `tty` sets the size of its terminal. */
export async function attach(
  instance: Instance,
  { signal, tty }: { signal?: AbortSignal; tty?: TerminalSize } = {},
): Promise<GuestExecConnection> {
  const connection = await resumeExec(instance, rootSession, undefined, signal);
  if (tty !== undefined) await connection.resize(tty);
  return connection;
}
