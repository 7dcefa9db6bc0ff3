import { SimulatedGuest, type SimulatedGuestOptions } from '../drivers/simulated/guest/index.ts';
import { connectGuest } from './connect.ts';
import type { Guest, GuestConfig, GuestExecConnection, GuestExecSpec } from './guest.ts';

/** For tests: a simulated guest and a client of its agent. Disposing ends both. */
export interface ConnectedGuest extends AsyncDisposable {
  readonly simulated: SimulatedGuest;
  readonly guest: Guest;
  /** Another client of the same guest, which takes it over. */
  reconnect(): Promise<Guest>;
}

/** Nothing a test waits for takes longer. */
export const testDeadlineMs = 20_000;

export async function connectedGuest(options: SimulatedGuestOptions = {}): Promise<ConnectedGuest> {
  const simulated = new SimulatedGuest(options);
  const clients: Guest[] = [];
  const reconnect = async () => {
    const signal = AbortSignal.timeout(testDeadlineMs);
    const client = await connectGuest(async (channel) => simulated.connect(channel), signal);
    clients.push(client);
    return client;
  };
  return {
    simulated,
    guest: await reconnect(),
    reconnect,
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) await client[Symbol.asyncDispose]();
      simulated.end();
    },
  };
}

let nextExec = 1;

export function execSpec(argv: readonly string[], more: Partial<GuestExecSpec> = {}): GuestExecSpec {
  return { execId: `e${nextExec++}`, target: 'vm', argv, env: {}, stdin: false, ...more };
}

export const guestConfig: GuestConfig = {
  hostname: 'web',
  machineId: '00112233445566778899aabbccddeeff',
  generation: 1,
  entropy: Buffer.alloc(64, 1),
  clockNanos: 1_800_000_000_000_000_000n,
  root: { layers: 1, layersSerial: 'layers', overlaySerial: 'root' },
};

/** All that a session prints, by stream. */
export async function collect(connection: GuestExecConnection): Promise<{ stdout: string; stderr: string }> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const { stream, data } of connection.output) chunks[stream].push(data);
  return { stdout: Buffer.concat(chunks.stdout).toString(), stderr: Buffer.concat(chunks.stderr).toString() };
}
