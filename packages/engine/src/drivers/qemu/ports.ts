import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { VivError } from '@vivarium/model';
import type { DormantPorts, DormantSpec, PortTraffic } from '../driver.ts';
import { JsonLines } from './json-lines.ts';
import { Requests } from './requests.ts';
import type { ShimClient } from './shim-client.ts';
import { connectUnix, isNotListening } from './unix-socket.ts';

/** Of who holds the ports of a directory without a VMM: docs/shim.md. */
const socket = 'wake.sock';
/** It binds its ports, says a line, and lets us go. Milliseconds. */
const startTimeoutMs = 10_000;

interface WireTraffic {
  guest_port: number;
  peer: string;
  open: number;
  quiet_ms: number;
}

function readTraffic(result: unknown): PortTraffic[] {
  const { traffic = [] } = result as { traffic?: WireTraffic[] };
  return traffic.map(({ guest_port, peer, open, quiet_ms }) => ({
    guestPort: guest_port,
    peer,
    open,
    quietMs: quiet_ms,
  }));
}

export async function traffic(shim: ShimClient): Promise<PortTraffic[]> {
  return readTraffic(await shim.request('ports_traffic'));
}

export async function holdPorts(
  shim: ShimClient,
  { keep, holdMs }: { keep: boolean; holdMs: number },
): Promise<PortTraffic[]> {
  const held = readTraffic(await shim.request('ports_hold', { keep, hold_ms: holdMs }));
  return held.filter(({ open }) => open > 0);
}

/** Finds the holder of a directory, or starts one. @throws VivError `port_in_use`, `vmm_failed`, `assets_missing`. */
export async function dormantPorts(shimPath: string, dir: string, spec: DormantSpec): Promise<DormantPorts> {
  try {
    return await Holder.connect(dir);
  } catch (error) {
    if (!isNotListening(error)) throw VivError.from(error);
  }
  await startHolder(shimPath, dir, spec);
  return Holder.connect(dir);
}

async function startHolder(
  shimPath: string,
  dir: string,
  { ports, detached, holdMs }: DormantSpec,
): Promise<void> {
  const holding = {
    hold_ms: holdMs,
    detached,
    ports: ports.map(({ hostAddress, hostPort, guestPort }) => ({
      host_address: hostAddress,
      host_port: hostPort,
      guest_port: guestPort,
    })),
  };
  const child = spawn(shimPath, ['hold', dir, JSON.stringify(holding)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: [detached ? 'ignore' : 'pipe', 'pipe', 'ignore'],
  });
  const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined); // it is raced below
  const { stdout } = child;
  let said = '';
  stdout?.setEncoding('utf8');
  stdout?.on('data', (chunk: string) => {
    said += chunk;
  });
  try {
    const closed =
      stdout === null ? [] : once(stdout, 'close', { signal: AbortSignal.timeout(startTimeoutMs) });
    await Promise.race([closed, failed]);
  } catch (cause) {
    child.kill('SIGKILL');
    throw new VivError('vmm_failed', 'Nobody could be started to hold the ports', { cause });
  }
  child.unref();
  // Open for as long as this process lives, but no reason for it to.
  (child.stdin as unknown as { unref?(): void } | null)?.unref?.();
  const { ok, error } = parse(said);
  if (!ok) throw VivError.fromRecord({ code: 'vmm_failed', message: 'It ended without a word', ...error });
}

function parse(said: string): { ok?: boolean; error?: { code: string; message: string } } {
  try {
    return JSON.parse(said.split('\n')[0] ?? '') as ReturnType<typeof parse>;
  } catch (cause) {
    throw new VivError('vmm_failed', 'What was started to hold the ports ended without a word', { cause });
  }
}

/** A connection to who holds the ports. */
class Holder implements DormantPorts {
  readonly ended: Promise<void>;
  readonly #lines: JsonLines;
  readonly #requests = new Requests('The holder of the ports');
  #listener: (() => void) | undefined;
  #waiting = false;

  private constructor(lines: (onMessage: (message: Record<string, unknown>) => void) => JsonLines) {
    this.#lines = lines((message) => {
      if (message.event === 'traffic') this.#come();
      else this.#requests.settle(message.id, answer(message));
    });
    this.#lines.unref();
    this.ended = this.#lines.closed.then(() => this.#requests.failAll());
  }

  /** Rejects as `isNotListening` knows where nobody holds them. */
  static async connect(dir: string): Promise<Holder> {
    const stream = await connectUnix(dir, socket);
    const holder = new Holder((onMessage) => new JsonLines(stream, onMessage));
    await holder.#ask('watch');
    return holder;
  }

  onTraffic(listener: () => void): void {
    this.#listener = listener;
    if (this.#waiting) listener();
  }

  async drop(): Promise<void> {
    this.#waiting = false;
    await this.#ask('drop');
  }

  async close(): Promise<void> {
    await this.#ask('close');
    this.#lines.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines.close();
  }

  #come(): void {
    this.#waiting = true;
    this.#listener?.();
  }

  /** One that has just been taken over has nothing more to do for us. */
  async #ask(method: string): Promise<void> {
    if (!this.#lines.isOpen) return;
    await this.#requests.add(method, 2_000, (id) => this.#lines.send({ id, method, params: {} }));
  }
}

function answer(message: Record<string, unknown>): { result: unknown } | { error: VivError } {
  if (!('error' in message)) return { result: message.result };
  return { error: VivError.fromRecord(message.error as { code: string; message: string }) };
}
