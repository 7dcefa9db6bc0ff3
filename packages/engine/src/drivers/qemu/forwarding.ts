import { VivError } from '@vivarium/model';
import { netdevId } from './command-line.ts';
import type { QmpClient } from './qmp.ts';
import type { ShimClient } from './shim-client.ts';

/** Guest port -> port of 127.0.0.1 that QEMU forwards to it, out of what `info usernet` prints. */
export function parseForwards(infoUsernet: string): Map<number, number> {
  const forwards = new Map<number, number>();
  // "  TCP[HOST_FORWARD]  13       127.0.0.1 41795       10.99.0.2  8080     0     0"
  for (const match of infoUsernet.matchAll(
    /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s/g,
  )) {
    forwards.set(Number(match[2]), Number(match[1]));
  }
  return forwards;
}

/** Tells the shim where each published guest port can be reached. May be said again, by whoever adopts the machine. */
export async function relayPorts(
  qmp: QmpClient,
  shim: ShimClient,
  guestPorts: readonly number[],
): Promise<void> {
  if (guestPorts.length === 0) return;
  const info = await qmp.execute('human-monitor-command', { 'command-line': 'info usernet' });
  const forwards = parseForwards(String(info));
  for (const guestPort of guestPorts) {
    const port = forwards.get(guestPort);
    if (port === undefined) {
      throw new VivError('vmm_failed', `QEMU does not forward guest port ${guestPort} on ${netdevId}`, {
        details: { usernet: String(info) },
      });
    }
    await shim.request('relay', { guest_port: guestPort, address: '127.0.0.1', port });
  }
}
