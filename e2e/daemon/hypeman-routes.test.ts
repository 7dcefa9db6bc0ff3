import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import Hypeman from '@onkernel/hypeman';
import { absentRoutes, routes } from '../../packages/api/src/index.ts';

/* Which routes hypeman's official client knows is asked of the client itself: every method of every resource is called. */

type Method = (...args: unknown[]) => Promise<unknown>;

/** A server that writes down what it is asked, and knows nothing. */
let server: Server;
let asked: string[];
let client: Hypeman;

before(async () => {
  server = createServer((incoming: IncomingMessage, outgoing) => {
    asked.push(`${incoming.method} ${new URL(incoming.url ?? '', 'http://x').pathname}`);
    incoming.resume();
    outgoing.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  client = new Hypeman({ baseURL: `http://127.0.0.1:${port}`, apiKey: 'x', maxRetries: 0 });
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** `instances.snapshots.create` and all others, by the prototypes of the resources. */
function methodsOf(object: object, path: string[] = []): { name: string; call: Method }[] {
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(object))
    .filter((name) => name !== 'constructor' && !name.startsWith('_'))
    .map((name) => ({
      name: [...path, name].join('.'),
      call: ((object as Record<string, Method>)[name] as Method).bind(object),
    }));
  const inner = Object.entries(object)
    .filter(([name, value]) => !name.startsWith('_') && typeof value === 'object' && value !== null)
    .flatMap(([name, value]) => methodsOf(value as object, [...path, name]));
  return [...own, ...inner];
}

const resources = () =>
  Object.entries(client)
    .filter(([, value]) => typeof value === 'object' && value !== null && '_client' in value)
    .flatMap(([name, resource]) => methodsOf(resource, [name]));

/** The route a path belongs to, absent ones too; a literal segment beats a parameter. */
function routeOf(asked: string): string | undefined {
  const [method = '', path = ''] = asked.split(' ');
  const fits = [...routes, ...absentRoutes]
    .filter((route) => route.method === method)
    .filter((route) => new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path))
    .map((route) => route.path);
  return fits.sort((a, b) => a.split('{').length - b.split('{').length)[0];
}

test('every method of hypeman’s client leads to a route that is served, or said to be absent', async () => {
  const all = resources();
  assert.ok(all.length >= 60, `only ${all.length} methods were found`);
  const lost: string[] = [];
  for (const { name, call } of all) {
    asked = [];
    // The last path parameter of some is in the second argument.
    await call('some-id', { id: 'other-id', name: 'n' }).catch((error: unknown) => {
      if (asked.length === 0) throw error;
    });
    assert.equal(asked.length, 1, name);
    for (const request of asked) if (routeOf(request) === undefined) lost.push(`${name}: ${request}`);
  }
  assert.deepEqual(lost, []);
});
