import { randomUUID } from 'node:crypto';
import { channels, check, ExecControl, type ExecNotice, ExecStart } from '@vivarium/api';
import type { State } from '@vivarium/lifecycle';
import { type ExecOptions, type ExecOutput, isVivError, VivError, type Vm } from '@vivarium/model';
import { ExecSession, exitNotice, type SessionPeer } from '../exec/session.ts';
import { type FrameSocket, parseFrame } from './socket.ts';
import type { SocketCall, SocketHandler } from './upgrade.ts';

/** An exec waits for these to become Running, for as long as its first frame allows. */
export const comingUp: readonly State[] = ['Starting', 'Initializing', 'Running'];

/** Milliseconds a client that comes back for its command may wait until the agent has been found again. */
const resumeMs = 10_000;

/** Whoever waits for Running waits in vain here, unless somebody starts the VM. */
const settled: readonly State[] = ['Stopped', 'Shutdown', 'Paused', 'Error'];

/** A command in the guest, as hypeman has it or, asked for `channels`, as a session. */
export const execSocket: SocketHandler = async (call) => {
  const start = await firstFrame(call.socket);
  if (start === undefined) return;
  if (call.vm.info.state !== 'Running') await running(call, start);
  if (start.channels) await session(call, start);
  else await plain(call, start);
};

/** Waits for the VM: a new command as long as it says, one that is resumed until it is clear whether it can be. */
async function running({ vm, socket }: SocketCall, start: ExecStart): Promise<void> {
  const { gone: signal } = socket;
  if (start.resume === undefined) {
    await vm.waitFor('Running', { timeoutMs: (start.wait_for_agent ?? 0) * 1000, signal });
    return;
  }
  const { state } = await vm.waitFor(['Running', ...settled], { timeoutMs: resumeMs, signal });
  if (state === 'Running') return;
  throw new VivError('invalid_state', `The command ended with its VM: ${vm.name} is ${state}`);
}

/** The entrypoint's own session, or one that the path names. A client that leaves leaves it alone. */
export const attachSocket: SocketHandler = async ({ socket, vm, house, params }) => {
  const start = await firstFrame(socket);
  if (start === undefined) return;
  const tty = terminal(start);
  const from = start.resume && { stdout: BigInt(start.resume.stdout), stderr: BigInt(start.resume.stderr) };
  const connection = await vm.resumeExec?.(params.xid ?? 'workload:root', from, { signal: socket.gone });
  if (connection === undefined)
    throw new VivError('not_supported', 'This engine has no sessions to attach to');
  const attached = new ExecSession(connection);
  const peer = peerOf(socket);
  attached.attach(peer, undefined);
  greet(socket, attached, start.resume !== undefined);
  attached.replay(peer);
  if (tty !== undefined) await connection.resize(tty);
  const left = AbortSignal.any([socket.gone, house.closing]);
  left.addEventListener('abort', () => connection.detach(), { once: true });
  await control(socket, attached);
  connection.detach();
  socket.close();
};

async function firstFrame(socket: FrameSocket): Promise<ExecStart | undefined> {
  const frame = await socket.next();
  if (frame === undefined) return undefined;
  if (frame.binary)
    throw new VivError('invalid_request', 'The first frame must be text: what to run, as JSON');
  return check(ExecStart, parseFrame(frame), 'The first frame');
}

async function session({ house, socket, vm }: SocketCall, start: ExecStart): Promise<void> {
  const peer = peerOf(socket);
  let session: ExecSession;
  if (start.resume === undefined) {
    const execId = start.exec_id ?? randomUUID();
    session = await house.sessions.start(vm, start.command ?? [], { ...execOptions(start), execId });
  } else {
    if (start.exec_id === undefined)
      throw new VivError('invalid_request', 'A session is resumed by its exec_id');
    session = await resumed(house.sessions, vm, start.exec_id, start);
  }
  session.attach(peer, start.resume);
  void house.sessions.kept(vm, session);
  greet(socket, session, start.resume !== undefined);
  session.replay(peer);
  let left: 'close' | 'gone' = 'gone';
  try {
    left = await control(socket, session);
  } finally {
    // Also a client that says what nobody understands may come back.
    if (left === 'gone') await house.sessions.lost(vm, session, peer);
  }
  if (left === 'gone') return;
  // The client takes the close of the socket for the death of the process group.
  await house.sessions.close(vm, session);
  socket.close();
}

/** A command whose start was not confirmed before the connection was lost may never have been started. */
async function resumed(
  sessions: SocketCall['house']['sessions'],
  vm: Vm,
  execId: string,
  start: ExecStart,
): Promise<ExecSession> {
  try {
    return await sessions.resume(vm, execId, start.resume);
  } catch (error) {
    const unknown = isVivError(error, 'not_found') && start.command !== undefined;
    if (!unknown || start.resume?.stdout !== 0 || start.resume.stderr !== 0) throw error;
    return sessions.start(vm, start.command ?? [], { ...execOptions(start), execId });
  }
}

function greet(socket: FrameSocket, session: ExecSession, resumed: boolean): void {
  const { execId } = session.connection;
  const started = { exec_id: execId, stdin: session.stdinTaken, ...session.offsets, resumed };
  void socket.sendJson({ started } satisfies ExecNotice);
}

function peerOf(socket: FrameSocket): SessionPeer {
  return {
    output: ({ stream, data }: ExecOutput) => {
      const frame = Buffer.allocUnsafe(data.byteLength + 1);
      frame[0] = channels[stream];
      frame.set(data, 1);
      return socket.send(frame);
    },
    notice: (notice) => void socket.sendJson(notice),
    end: () => socket.close(1012, 'the session goes on elsewhere'),
  };
}

/** Takes what the client says until it goes or closes the session. */
async function control(socket: FrameSocket, session: ExecSession): Promise<'close' | 'gone'> {
  const tell = stdinTeller(socket, session);
  for (;;) {
    const frame = await socket.next();
    if (frame === undefined) return 'gone';
    if (frame.binary) {
      if (frame.data[0] !== channels.stdin)
        throw new VivError('invalid_request', 'Only stdin (0) is sent to a command');
      await session.write(frame.data.subarray(1));
      tell();
      continue;
    }
    const said = check(ExecControl, parseFrame(frame), 'A control frame');
    if (said.close) return 'close';
    if (said.ack) session.acknowledge(said.ack);
    if (said.stdin_eof) void session.end();
    await steer(session.connection, said);
  }
}

/** Tells how far stdin has come; one who does not listen is told the newest once he does, and nothing piles up. */
function stdinTeller(socket: FrameSocket, session: ExecSession): () => void {
  let telling = false;
  let more = false;
  const tell = async () => {
    if (telling) {
      more = true;
      return;
    }
    telling = true;
    do {
      more = false;
      const taken = Number(session.connection.stdinAccepted);
      await socket.sendJson({ stdin_ack: taken, stdin_written: session.stdinTaken });
    } while (more);
    telling = false;
  };
  return () => void tell();
}

/** A command that has just ended can be neither resized nor signalled, and that is nobody's fault. */
async function steer(connection: ExecSession['connection'], said: ExecControl): Promise<void> {
  if (said.resize) await connection.resize(said.resize).catch(() => undefined);
  if (said.signal) await connection.signal(said.signal).catch(() => undefined);
}

function terminal(start: ExecStart): ExecOptions['tty'] {
  return start.tty || start.rows ? { rows: start.rows ?? 24, cols: start.cols ?? 80 } : undefined;
}

function execOptions(start: ExecStart): ExecOptions {
  return {
    env: start.env,
    cwd: start.cwd || undefined,
    user: start.user,
    target: start.target as ExecOptions['target'],
    tty: start.tty ? terminal(start) : undefined,
    stdin: start.stdin === false ? undefined : 'open-stream',
  };
}

/** hypeman's way: one output, no session; whoever leaves ends the command. */
async function plain({ socket, vm, house }: SocketCall, start: ExecStart): Promise<void> {
  const options = { ...execOptions(start), signal: socket.gone };
  const connection = await vm.openExec?.(start.command ?? [], options);
  if (connection === undefined) throw new VivError('not_supported', 'This engine has no exec sessions');
  const kill = () => void connection.close().catch(() => undefined);
  socket.gone.addEventListener('abort', kill, { once: true });
  house.closing.addEventListener('abort', kill, { once: true });
  const overdue = () => void connection.signal('SIGKILL').catch(() => undefined);
  const timer = start.timeout ? setTimeout(overdue, start.timeout * 1000) : undefined;
  let refused: unknown;
  const input = plainInput(socket, connection).catch((error: unknown) => {
    refused = error;
    kill();
  });
  try {
    for await (const { data } of connection.output) await socket.send(data);
    if (refused !== undefined) throw refused;
    await socket.sendJson(exitNotice(await connection.exit));
  } finally {
    clearTimeout(timer);
    house.closing.removeEventListener('abort', kill);
    if (refused !== undefined) await socket.sendJson({ error: VivError.from(refused).toJSON() });
    socket.close();
    await connection.close().catch(() => undefined);
    await input;
  }
}

async function plainInput(socket: FrameSocket, connection: ExecSession['connection']): Promise<void> {
  for (let frame = await socket.next(); frame !== undefined; frame = await socket.next()) {
    if (frame.binary) {
      // The command may have ended, or closed its stdin: its client learns the former by the exit.
      await connection.write(frame.data).catch(() => undefined);
      continue;
    }
    const said = check(ExecControl, parseFrame(frame), 'A control frame');
    if (said.stdin_eof) await connection.end().catch(() => undefined);
    await steer(connection, said);
  }
}
