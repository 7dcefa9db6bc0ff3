import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as open, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import { startDaemon } from '../daemon.ts';
import { type Figure, ms } from '../figure.ts';
import { quantile } from '../stats.ts';

const subscribers = 1000;
/** Creates and deletes, each of which is some events. */
const rounds = 40;

/** Until the event is there, from when it was stored: all subscribers of a daemon, in a process of their own. */
export const events: Figure = {
  name: 'events',
  async run() {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
    try {
      await using daemon = await startDaemon(home, 'simulated');
      await using viv = connect({ home, autostart: false });
      const times: number[] = [];
      const sockets = await Promise.all(
        Array.from({ length: subscribers }, () => subscribe(daemon.socket, times)),
      );
      const since = await last(viv);
      for (let n = 0; n < rounds; n++) await (await viv.create({ image: 'busybox' })).delete();
      const told = (await last(viv)) - since;
      for (const deadline = Date.now() + 30_000; times.length < told * subscribers && Date.now() < deadline; )
        await new Promise((resolve) => setTimeout(resolve, 20));
      for (const socket of sockets) socket.destroy();
      const p99 = quantile(times, 0.99);
      const whole = times.length === told * subscribers;
      return [
        {
          what: `An event at each of ${subscribers} subscribers, p99 of ${told} events${whole ? '' : ` (${times.length} arrived)`}`,
          ours: `${ms(p99)} (p50 ${ms(quantile(times, 0.5))})`,
          floor: '-',
          promise: 'within 100 ms',
          kept: whole && p99 < 100,
        },
      ];
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
};

async function last(viv: ReturnType<typeof connect>): Promise<number> {
  let seq = 0;
  for await (const event of viv.events({ since: 0, follow: false })) seq = event.seq;
  return seq;
}

/** Reads server-sent events with as little of its own as can be: it shares a processor with a thousand others. */
async function subscribe(socketPath: string, times: number[]): Promise<Socket> {
  const socket = open(socketPath);
  const begun = Promise.withResolvers<void>();
  let head = true;
  socket.on('data', (chunk) => {
    const now = performance.timeOrigin + performance.now();
    const text = chunk.toString('latin1');
    if (head) {
      head = false;
      begun.resolve();
    }
    for (const [, at] of text.matchAll(/\ndata: \{"seq":\d+,"at":"([^"]+)"/g))
      times.push(Math.max(0, now - Date.parse(at ?? '')));
  });
  socket.on('error', begun.reject);
  await once(socket, 'connect');
  socket.write('GET /events HTTP/1.1\r\nhost: bench\r\n\r\n');
  await begun.promise;
  return socket;
}
