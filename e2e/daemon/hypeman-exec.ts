import { once } from 'node:events';
import { WebSocket } from 'ws';

/* hypeman's client has no exec; its documentation and its command speak this over a WebSocket. */

export interface HypemanExec {
  readonly socket: WebSocket;
  /** Both outputs, as one. */
  readonly result: Promise<{ exitCode: number; output: string }>;
}

export async function hypemanExec(
  at: { url: string; token: string },
  instance: string,
  command: string[],
): Promise<HypemanExec> {
  const socket = new WebSocket(`${at.url.replace('http', 'ws')}/instances/${instance}/exec`, {
    headers: { authorization: `Bearer ${at.token}` },
  });
  await once(socket, 'open');
  const chunks: Buffer[] = [];
  const result = new Promise<{ exitCode: number; output: string }>((resolve, reject) => {
    socket.on('message', (data: Buffer, binary: boolean) => {
      if (binary) return void chunks.push(data);
      const { exitCode, error } = JSON.parse(String(data)) as { exitCode?: number; error?: unknown };
      if (exitCode !== undefined) resolve({ exitCode, output: Buffer.concat(chunks).toString() });
      else reject(new Error(JSON.stringify(error)));
    });
    socket.on('close', (code) => reject(new Error(`closed with ${code} before the exit`)));
  });
  result.catch(() => undefined);
  socket.send(JSON.stringify({ command }));
  return { socket, result };
}
