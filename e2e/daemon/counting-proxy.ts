import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

/** Stands before an HTTP server and counts what it is asked. */
export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  /** `host:port`. */
  readonly host: string;
  /** `METHOD path` of each request since the last call. */
  taken(): string[];
}

export async function countingProxy(target: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(target);
  let seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const { method, url: path, headers } = incoming;
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const onward = connect(Number(port), hostname, () => {
      const lines = incoming.rawHeaders.flatMap((value, i) =>
        i % 2 === 0 ? [`${value}: `] : [value, '\r\n'],
      );
      onward.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.on('close', () => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}`,
    host,
    taken() {
      const all = seen;
      seen = [];
      return all;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
