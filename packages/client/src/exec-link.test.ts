import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { type WebSocket, WebSocketServer } from 'ws';
import { ExecLink } from './exec-link.ts';
import { Transport } from './transport.ts';

/** A daemon as far as one session goes, which the test plays. */
async function stage() {
  let asked: PromiseWithResolvers<() => void> | undefined;
  const dir = mkdtempSync(path.join(tmpdir(), 'link-'));
  const socket = path.join(dir, 's');
  const server = createServer();
  const sockets = new WebSocketServer({
    server,
    verifyClient: (_info, admit) => {
      if (asked === undefined) admit(true);
      else asked.resolve(() => admit(true));
      asked = undefined;
    },
  });
  const waiting: ((client: Client) => void)[] = [];
  const arrivals: ((client: Client) => void)[] = [];
  sockets.on('connection', (peer) => {
    const client = new Client(peer);
    arrivals.shift()?.(client);
    client.begun.then(() => waiting.shift()?.(client));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    /** The next client, once it has said what it wants. */
    next: () => new Promise<Client>((resolve) => waiting.push(resolve)),
    /** The next client, whether or not it wants anything. */
    met: () => new Promise<Client>((resolve) => arrivals.push(resolve)),
    /** The next client waits at the door; resolves, once it is there, in what lets it in. */
    hold: () => {
      asked = Promise.withResolvers();
      return asked.promise;
    },
    open: (route: 'exec' | 'attach' = 'exec') =>
      ExecLink.open({
        transport: new Transport({ socket }),
        id: 'x',
        route,
        start: { command: ['cat'] },
      }),
    async [Symbol.asyncDispose]() {
      for (const peer of sockets.clients) peer.terminate();
      sockets.close();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true });
    },
  };
}

class Client {
  readonly begun: Promise<void>;
  readonly gone: Promise<unknown>;
  /** All it sent: stdin as it is, the rest as JSON. */
  heard = '';
  readonly #peer: WebSocket;
  #wake: () => void = () => undefined;

  constructor(peer: WebSocket) {
    this.#peer = peer;
    this.gone = once(peer, 'close');
    const begun = Promise.withResolvers<void>();
    this.begun = begun.promise;
    let first = true;
    peer.on('message', (data: Buffer, binary: boolean) => {
      if (first) begun.resolve();
      else this.heard += binary ? data.subarray(1).toString() : `${data}`;
      first = false;
      this.#wake();
    });
  }

  greet(stdin: number): void {
    this.#peer.send(
      JSON.stringify({ started: { exec_id: 'x', stdin, stdout: 0, stderr: 0, resumed: stdin > 0 } }),
    );
  }

  async hears(text: string): Promise<void> {
    while (!this.heard.includes(text)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  drop(): void {
    this.#peer.terminate();
  }

  exit(): void {
    this.#peer.send('{"exitCode":0}');
  }
}

test('what is written while a lost session is being joined again is sent once, and before its end', async () => {
  await using daemon = await stage();
  const arriving = daemon.next();
  const opening = daemon.open();
  const first = await arriving;
  first.greet(0);
  const link = await opening;
  await link.write(Buffer.from('one'));
  await first.hears('one');
  const coming = daemon.next();
  first.drop();
  const second = await coming;
  // Connected, and not yet told where to go on.
  await link.write(Buffer.from('two'));
  await link.end();
  second.greet(3);
  await second.hears('eof');
  second.exit();
  assert.deepEqual(await link.exit, { code: 0 });
  await link.close();
  await second.gone;
  assert.match(second.heard, /^two\{"stdin_eof":true\}(\{"close":true\})?$/);
});

test('a connection that is lost before it has joined the session is followed by one, not by two', async () => {
  await using daemon = await stage();
  const arriving = daemon.next();
  const opening = daemon.open();
  const first = await arriving;
  first.greet(0);
  const link = await opening;
  await link.write(Buffer.from('one'));
  let coming = daemon.next();
  first.drop();
  const second = await coming;
  coming = daemon.next();
  let more = 0;
  const extra = () => daemon.next().then(() => more++);
  second.drop();
  const third = await coming;
  void extra();
  third.greet(0);
  await link.end();
  await third.hears('eof');
  assert.equal(third.heard, 'one{"stdin_eof":true}');
  third.exit();
  await link.exit;
  assert.equal(more, 0);
});

test('a command that is closed while its connection is lost is ended once somebody answers', async () => {
  await using daemon = await stage();
  const arriving = daemon.next();
  const opening = daemon.open();
  const first = await arriving;
  first.greet(0);
  const link = await opening;
  const held = daemon.hold();
  const coming = daemon.next();
  first.drop();
  const admit = await held;
  await link.close();
  await assert.rejects(link.exit, (error) => isVivError(error, 'cancelled'));
  admit();
  const second = await coming;
  second.greet(0);
  await second.hears('{"close":true}');
  await second.gone;
});

test('an entrypoint that was left while the connection was lost is not joined again', async () => {
  await using daemon = await stage();
  const arriving = daemon.next();
  const opening = daemon.open('attach');
  const first = await arriving;
  first.greet(0);
  const link = await opening;
  const held = daemon.hold();
  first.drop();
  const admit = await held;
  await link.close();
  const met = daemon.met();
  admit();
  await (await met).gone;
});
