import { LeanClient } from './lean-client.ts';

/** Connections to choose from; where all wait for an answer, a request waits too, and that counts. */
const connections = 16;

/**
 * Asks at a constant rate whatever becomes of the answers, and measures each from when it was due: a server that stands still for a
 * while has all that were due meanwhile against it. Milliseconds.
 */
export async function steadily(
  socketPath: string,
  path: string,
  { rate, seconds }: { rate: number; seconds: number },
): Promise<number[]> {
  const clients = Array.from({ length: connections }, () => new LeanClient(socketPath, path));
  const free = [...clients];
  const due: number[] = [];
  const times: number[] = [];
  const pending = new Set<Promise<void>>();
  const ask = (client: LeanClient, since: number) => {
    const asked = client.get().then(() => {
      times.push(performance.now() - since);
      const next = due.shift();
      if (next === undefined) free.push(client);
      else ask(client, next);
      pending.delete(asked);
    });
    pending.add(asked);
  };
  const began = performance.now();
  const count = rate * seconds;
  for (let sent = 0; sent < count; ) {
    const now = performance.now();
    for (; sent < count && began + (sent * 1000) / rate <= now; sent++) {
      const since = began + (sent * 1000) / rate;
      const client = free.pop();
      if (client === undefined) due.push(since);
      else ask(client, since);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  while (pending.size > 0) await Promise.all(pending);
  for (const client of clients) client[Symbol.dispose]();
  return times;
}
