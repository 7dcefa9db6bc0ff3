import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import path from 'node:path';
import { readIfThere } from '../durable.ts';

/** What a registry is told about who asks. */
export type Credentials = { username: string; password: string } | { identityToken: string };

export interface FoundCredentials {
  credentials?: Credentials;
  /** Why none were found although something was configured; told only when the registry refuses. */
  problem?: string;
}

/** A helper may ask a key ring, which may ask a person; it is not waited for longer. */
const helperDeadlineMs = 10_000;
/** Docker Hub's credentials are filed under its oldest address. */
const dockerHubKey = 'https://index.docker.io/v1/';

export function dockerConfigFile(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(env.DOCKER_CONFIG || path.join(homedir(), '.docker'), 'config.json');
}

type Json = Record<string, unknown>;
const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});

/** `https://host/v1/` and `host` are filed as the same. */
const hostOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');

function serverKey(registry: string): string {
  return registry === 'docker.io' ? dockerHubKey : registry;
}

function fromUserAndPassword(username: string, password: string): Credentials {
  return username === '<token>' ? { identityToken: password } : { username, password };
}

function fromAuths(auths: Json, registry: string): Credentials | undefined {
  const wanted = hostOf(serverKey(registry));
  const key =
    Object.keys(auths).find((each) => each === serverKey(registry)) ??
    Object.keys(auths).find((each) => hostOf(each) === wanted);
  const entry = object(key === undefined ? undefined : auths[key]);
  if (typeof entry.identitytoken === 'string' && entry.identitytoken !== '')
    return { identityToken: entry.identitytoken };
  if (typeof entry.username === 'string' && typeof entry.password === 'string') {
    return fromUserAndPassword(entry.username, entry.password);
  }
  if (typeof entry.auth !== 'string' || entry.auth === '') return undefined;
  const [username = '', ...password] = Buffer.from(entry.auth, 'base64').toString('utf8').split(':');
  return password.length > 0
    ? fromUserAndPassword(username, password.join(':').replace(/\0+$/, ''))
    : undefined;
}

/** Asks `docker-credential-NAME get`: the server on stdin, JSON on stdout. */
async function askHelper(name: string, server: string, signal?: AbortSignal): Promise<FoundCredentials> {
  if (!/^[\w.-]+$/.test(name))
    return { problem: `the credential helper ${JSON.stringify(name)} has an impossible name` };
  const helper = `docker-credential-${name}`;
  const deadline = AbortSignal.timeout(helperDeadlineMs);
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
  const child = spawn(helper, ['get'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: either,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output.length < 65_536) output += text;
  });
  child.stdin.on('error', () => undefined); // A helper that reads nothing; its answer tells.
  child.stdin.end(server);
  try {
    const code = await new Promise<number | null>((resolve, reject) =>
      child.once('error', reject).once('close', resolve),
    );
    if (code !== 0)
      return /not found/i.test(output)
        ? {}
        : { problem: `${helper} ended with status ${code}: ${output.trim().slice(0, 200)}` };
    const { Username, Secret } = object(JSON.parse(output));
    if (typeof Username !== 'string' || typeof Secret !== 'string')
      return { problem: `${helper} gave no credentials` };
    return { credentials: fromUserAndPassword(Username, Secret) };
  } catch (error) {
    signal?.throwIfAborted();
    const why = deadline.aborted
      ? `did not answer in ${helperDeadlineMs / 1000} s`
      : (error as Error).message;
    return { problem: `${helper}: ${why}` };
  }
}

/**
 * The credentials for a registry, from Docker's configuration: the helper for this registry, else the helper for all, else
 * what the file itself holds. A public image needs none, so a broken configuration is no error here.
 */
export async function findCredentials(
  registry: string,
  file: string,
  signal?: AbortSignal,
): Promise<FoundCredentials> {
  let config: Json;
  try {
    const data = await readIfThere(file);
    if (!data) return {};
    config = object(JSON.parse(data.toString('utf8')));
  } catch (error) {
    return { problem: `${file} cannot be read: ${(error as Error).message}` };
  }
  const helpers = object(config.credHelpers);
  const helper = helpers[serverKey(registry)] ?? helpers[registry] ?? config.credsStore;
  const asked =
    typeof helper === 'string' && helper !== '' ? await askHelper(helper, serverKey(registry), signal) : {};
  if (asked.credentials) return asked;
  const credentials = fromAuths(object(config.auths), registry);
  return credentials ? { credentials } : asked;
}
