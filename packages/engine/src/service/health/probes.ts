import { request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import type { HealthCheck } from '@vivarium/model';
import type { Guest } from '../../guest/guest.ts';
import { checkSession } from '../../instances/session-ids.ts';
import { type Outcome, outputBytes } from './status.ts';

type Probe = (guest: Guest, check: HealthCheck, signal: AbortSignal) => Promise<Outcome>;

const localhost = '127.0.0.1';

/** Each goes through the agent, past everything that counts connections and sessions: a check is no use of the VM. */
const probes: Record<Exclude<HealthCheck['type'], 'none'>, Probe> = {
  tcp: async (guest, { tcp }, signal) => {
    (await guest.connect(localhost, tcp?.port ?? 0, signal)).destroy();
    return { ok: true };
  },
  http: askHttp,
  exec: runCommand,
};

/** One check. @throws what kept it from being made, and what `signal` fires with. */
export async function probe(guest: Guest, check: HealthCheck, signal: AbortSignal): Promise<Outcome> {
  if (check.type === 'none') return { ok: true };
  return probes[check.type](guest, check, signal);
}

async function askHttp(guest: Guest, { http }: HealthCheck, signal: AbortSignal): Promise<Outcome> {
  const { port = 0, path = '/', scheme, expectedStatus } = http ?? {};
  const connection = await guest.connect(localhost, port, signal);
  try {
    // What is asked is whether it works, not whether it is who it says.
    const socket =
      scheme === 'https' ? tlsConnect({ socket: connection, rejectUnauthorized: false }) : connection;
    const status = await statusOf(socket, { path, port, signal });
    const ok = expectedStatus === undefined ? status >= 200 && status < 400 : status === expectedStatus;
    return { ok, output: `HTTP ${status}`, ...(ok ? {} : { error: `answered with ${status}` }) };
  } finally {
    connection.destroy();
  }
}

/** The head of the answer is enough; its body is not read. */
function statusOf(
  socket: Duplex,
  { path, port, signal }: { path: string; port: number; signal: AbortSignal },
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = httpRequest({
    createConnection: () => socket,
    path,
    signal,
    headers: { host: `localhost:${port}`, connection: 'close', 'user-agent': 'vivarium-health' },
  });
  request.on('response', (response) => {
    resolve(response.statusCode ?? 0);
    response.destroy();
  });
  request.on('error', reject);
  socket.on('error', reject);
  request.end();
  return promise;
}

async function runCommand(guest: Guest, { exec }: HealthCheck, signal: AbortSignal): Promise<Outcome> {
  const { command = [], workingDir } = exec ?? {};
  const session = await guest.exec(
    {
      execId: checkSession(),
      target: 'root',
      argv: command,
      env: {},
      cwd: workingDir,
      stdin: false,
    },
    signal,
  );
  // Its process group ends with it, also where the check has run out of time.
  const kill = () => void session.close().catch(() => undefined);
  signal.addEventListener('abort', kill, { once: true });
  try {
    let output = '';
    for await (const { data } of session.output) {
      // All of it is read: a command must not stand still because it has much to say.
      if (output.length < outputBytes) output += Buffer.from(data).toString();
    }
    const { code, signal: by } = await session.exit;
    signal.throwIfAborted();
    const error = by === undefined ? `exited with ${code}` : `was killed by ${by}`;
    return { ok: code === 0, output, ...(code === 0 ? {} : { error }) };
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}
