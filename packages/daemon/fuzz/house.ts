import { request } from 'node:http';
import type { Engine } from '@vivarium/engine';
import { openHouse, type TestHouse } from '../src/testing/house.ts';
import type { FuzzAnswer } from './judge.ts';
import type { FuzzRequest } from './requests.ts';

/** Rooms of the engine whose calls are watched as well. */
const rooms = new Set(['images', 'pools', 'snapshots', 'templates', 'volumes']);

/** An object that writes down which of its functions are called. */
function watched<T extends object>(object: T, name: string, calls: string[]): T {
  return new Proxy(object, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      const path = name === '' ? String(key) : `${name}.${String(key)}`;
      if (typeof value === 'object' && value !== null && name === '' && rooms.has(String(key)))
        return watched(value, path, calls);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => {
        calls.push(path);
        return Reflect.apply(value, target, given);
      };
    },
  });
}

export interface FuzzHouse extends AsyncDisposable {
  /** The daemon's. */
  readonly socket: string;
  /** What the engine was asked for since the last look. */
  taken(): string[];
  send(request: FuzzRequest, patienceMs: number): Promise<FuzzAnswer>;
  /** Removes what requests made, and makes again what they need. */
  tidy(): Promise<void>;
}

export async function openFuzzHouse(): Promise<FuzzHouse> {
  const calls: string[] = [];
  const house = await openHouse({ graceMs: 50, behind: (engine: Engine) => watched(engine, '', calls) });
  await tidy(house);
  return {
    socket: house.daemon.socket,
    taken: () => calls.splice(0),
    send: (asked, patienceMs) => send(house.daemon.socket, asked, patienceMs),
    tidy: () => tidy(house),
    async [Symbol.asyncDispose]() {
      await calm(house);
      await house[Symbol.asyncDispose]();
    },
  };
}

/** What was asked for in the background may be under way when its client has its answer. */
async function calm({ engine }: TestHouse): Promise<void> {
  for await (const { id } of engine.operations.all({ states: ['pending', 'running'] }))
    await engine.operations.cancel(id);
}

async function tidy(house: TestHouse): Promise<void> {
  const { engine } = house;
  await calm(house);
  for (const pool of await engine.pools.list()) await (await engine.pools.get(pool.name)).remove();
  for await (const { id } of engine.all()) await (await engine.get(id)).delete({ force: true });
  for (const { id } of await engine.snapshots.list()) await engine.snapshots.remove(id);
  for (const { id } of await engine.volumes.list()) await engine.volumes.remove(id);
  await engine.volumes.create({ name: 'kept', size: '64MB' });
  for (const { id } of await engine.volumes.list()) await engine.volumes.remove(id);
  const host = await engine.run('busybox', { name: 'host' });
  await host.snapshots.create({ name: 'kept' });
  await engine.create({ image: 'busybox', name: 'idle' });
  await engine.volumes.create({ name: 'host', size: '64MB' });
  await engine.pools.create('host', { image: 'busybox', size: 1 });
}

/** Reads an answer to its end, or as far as it gets in that time. */
function send(socketPath: string, asked: FuzzRequest, patienceMs: number): Promise<FuzzAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<FuzzAnswer>();
  const { method, target, headers, body } = asked;
  const length = body === undefined ? {} : { 'content-length': String(body.byteLength) };
  const sent = request({
    socketPath,
    method,
    path: target,
    headers: { ...headers, ...length },
    agent: false,
  });
  const late = setTimeout(() => {
    sent.destroy(new Error(`no answer to ${method} ${target} within ${patienceMs} ms`));
  }, patienceMs);
  sent.once('response', (answer) => {
    let text = '';
    const settle = (complete: boolean) => {
      clearTimeout(late);
      clearTimeout(enough);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, complete });
      sent.destroy();
    };
    // A stream may have no end: what it has said so far is what counts.
    const enough = setTimeout(() => settle(false), 100);
    answer.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    answer.once('end', () => settle(true)).once('error', () => settle(false));
  });
  sent.once('error', (error) => {
    clearTimeout(late);
    reject(error);
  });
  sent.end(body);
  return promise;
}
