import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { connect as connectSocket, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '@vivarium/client';
import { isVivError, type Pool, type Vivarium, type Vm } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';

/** In front of a daemon: hands on, or holds what comes, and sees when it is given up. */
class Gate {
  holding = false;
  held = Promise.withResolvers<void>();
  givenUp = Promise.withResolvers<void>();
  readonly server: Server;

  constructor(daemon: string) {
    this.server = createServer((incoming, outgoing) => {
      if (this.holding) return this.#hold(outgoing.socket as Socket);
      const { method, url, headers } = incoming;
      const inner = request({ socketPath: daemon, method, path: url, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(inner);
      return undefined;
    });
    this.server.on('upgrade', (incoming, socket, head) => {
      if (this.holding) return this.#hold(socket as Socket);
      const lines = incoming.rawHeaders.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`));
      const inner = connectSocket(daemon, () => {
        inner.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
        inner.write(head);
        inner.pipe(socket).pipe(inner);
      });
      return undefined;
    });
  }

  #hold(socket: Socket): void {
    this.held.resolve();
    socket.resume().on('error', () => undefined);
    const { givenUp } = this;
    // An upgraded socket is half open until its server ends it too.
    for (const event of ['end', 'close']) socket.once(event, () => givenUp.resolve());
  }

  hold(): void {
    this.holding = true;
    this.held = Promise.withResolvers();
    this.givenUp = Promise.withResolvers();
  }
}

let house: TestHouse;
let gate: Gate;
let viv: Vivarium;
let vm: Vm;
let pool: Pool;
before(async () => {
  house = await openHouse();
  gate = new Gate(house.daemon.socket);
  const socket = path.join(house.home, 'gate.sock');
  gate.server.listen(socket);
  await once(gate.server, 'listening');
  viv = connect({ socket, autostart: false });
  vm = await viv.run('busybox', { name: 'web' });
  pool = await viv.pools.create('p', { image: 'busybox', size: 1 });
});
after(async () => {
  gate.holding = false;
  await viv[Symbol.asyncDispose]();
  gate.server.closeAllConnections();
  gate.server.close();
  await house[Symbol.asyncDispose]();
});

type Calls = Record<
  string,
  (options: { signal: AbortSignal }) => PromiseLike<unknown> | AsyncIterable<unknown>
>;

/** Answers by itself; what comes through it is a call of its own. */
const local: ReadonlySet<string> = new Set(['forward']);

/** Every call there is. A method that is missing here fails the test. */
const rooms: Record<string, { of(): object; calls: Calls }> = {
  Vivarium: {
    of: () => viv,
    calls: {
      create: (call) => viv.create({ image: 'busybox' }, call),
      run: (call) => viv.run('busybox', {}, call),
      get: (call) => viv.get('web', call),
      list: (call) => viv.list(call),
      all: (call) => viv.all(call),
      events: (call) => viv.events(call),
      doctor: (call) => viv.doctor(call),
      daemon: async (call) => viv.daemon?.(call),
    },
  },
  Vm: {
    of: () => vm,
    calls: {
      refresh: (call) => vm.refresh(call),
      prepare: (call) => vm.prepare(call),
      start: (call) => vm.start(call),
      stop: (call) => vm.stop(call),
      shutdown: (call) => vm.shutdown(call),
      pause: (call) => vm.pause(call),
      resume: (call) => vm.resume(call),
      suspend: (call) => vm.suspend(call),
      discard: (call) => vm.discard(call),
      fork: (call) => vm.fork(call),
      restart: (call) => vm.restart(call),
      delete: (call) => vm.delete(call),
      rename: (call) => vm.rename('other', call),
      resizeDisk: (call) => vm.resizeDisk('20GB', call),
      exec: (call) => vm.exec(['true'], call),
      attach: (call) => vm.attach(call),
      logs: (call) => vm.logs(call),
      stats: (call) => vm.stats(call),
      console: (call) => vm.console(call),
      connect: (call) => vm.connect(80, call),
      forward: (call) => vm.forward(80, call),
      update: (call) => vm.update({ tags: {} }, call),
      waitForHealth: (call) => vm.waitForHealth('healthy', call),
      waitFor: (call) => vm.waitFor('Stopped', call),
    },
  },
  VmFiles: {
    of: () => vm.files,
    calls: {
      copyIn: (call) => vm.files.copyIn(import.meta.filename, '/', call),
      copyOut: (call) => vm.files.copyOut('/etc', house.home, call),
      putArchive: (call) => vm.files.putArchive('/', (async function* () {})(), call),
      getArchive: (call) => vm.files.getArchive('/etc', call),
      stat: (call) => vm.files.stat('/etc', call),
      list: (call) => vm.files.list('/etc', call),
      mkdir: (call) => vm.files.mkdir('/d', call),
      remove: (call) => vm.files.remove('/d', call),
      rename: (call) => vm.files.rename('/d', '/e', call),
      setAttributes: (call) => vm.files.setAttributes('/d', { mode: 0o700 }, call),
      watch: (call) => vm.files.watch('/etc', call),
      readFile: (call) => vm.files.readFile('/etc/passwd', call),
      writeFile: (call) => vm.files.writeFile('/x', 'x', call),
    },
  },
  VmSnapshots: {
    of: () => vm.snapshots,
    calls: {
      create: (call) => vm.snapshots.create(call),
      list: (call) => vm.snapshots.list(call),
      get: (call) => vm.snapshots.get('x', call),
      restore: (call) => vm.snapshots.restore('x', call),
      remove: (call) => vm.snapshots.remove('x', call),
    },
  },
  VmSnapshotSchedule: {
    of: () => vm.snapshots.schedule,
    calls: {
      get: (call) => vm.snapshots.schedule.get(call),
      set: (call) => vm.snapshots.schedule.set({ intervalMs: 3_600_000, retention: { maxCount: 1 } }, call),
      remove: (call) => vm.snapshots.schedule.remove(call),
    },
  },
  Snapshots: {
    of: () => viv.snapshots,
    calls: {
      list: (call) => viv.snapshots.list(call),
      get: (call) => viv.snapshots.get('x', call),
      fork: (call) => viv.snapshots.fork('x', call),
      remove: (call) => viv.snapshots.remove('x', call),
    },
  },
  Templates: {
    of: () => viv.templates,
    calls: {
      list: (call) => viv.templates.list(call),
      warm: (call) => viv.templates.warm(call),
      remove: (call) => viv.templates.remove('x', call),
      clear: (call) => viv.templates.clear(call),
    },
  },
  Images: {
    of: () => viv.images,
    calls: {
      list: (call) => viv.images.list(call),
      get: (call) => viv.images.get('busybox', call),
      pull: (call) => viv.images.pull('busybox', call),
      import: (call) => viv.images.import('/x.tar', call),
      tag: (call) => viv.images.tag('busybox', 'b', call),
      remove: (call) => viv.images.remove('x', call),
    },
  },
  Volumes: {
    of: () => viv.volumes,
    calls: {
      create: (call) => viv.volumes.create({ name: 'v', size: '1GB', ...call }),
      list: (call) => viv.volumes.list(call),
      get: (call) => viv.volumes.get('v', call),
      remove: (call) => viv.volumes.remove('v', call),
      resize: (call) => viv.volumes.resize('v', '2GB', call),
      clone: (call) => viv.volumes.clone('v', call),
      snapshot: (call) => viv.volumes.snapshot('v', call),
      import: (call) => viv.volumes.import((async function* () {})(), { name: 'v', size: '1GB', ...call }),
      export: (call) => viv.volumes.export('v', call),
    },
  },
  VmVolumes: {
    of: () => vm.volumes,
    calls: {
      attach: (call) => vm.volumes.attach({ volume: 'v', path: '/v' }, call),
      detach: (call) => vm.volumes.detach('v', call),
    },
  },
  VmSessions: {
    of: () => vm.sessions,
    calls: {
      list: (call) => vm.sessions.list(call),
      get: (call) => vm.sessions.get('x', call),
      start: (call) => vm.sessions.start(['true'], call),
      attach: (call) => vm.sessions.attach('x', call),
      output: (call) => vm.sessions.output('x', call),
      signal: (call) => vm.sessions.signal('x', 'TERM', call),
      kill: (call) => vm.sessions.kill('x', call),
    },
  },
  Pools: {
    of: () => viv.pools,
    calls: {
      create: (call) => viv.pools.create('q', { image: 'busybox', ...call }),
      get: (call) => viv.pools.get('p', call),
      list: (call) => viv.pools.list(call),
    },
  },
  Pool: {
    of: () => pool,
    calls: {
      refresh: (call) => pool.refresh(call),
      acquire: (call) => pool.acquire(call),
      release: (call) => pool.release('x', call),
      events: (call) => pool.events(call),
      remove: (call) => pool.remove(call),
    },
  },
  VmLimits: {
    of: () => vm.limits,
    calls: {
      get: (call) => vm.limits.get(call),
      set: (call) => vm.limits.set({ cpus: 1 }, call),
    },
  },
  VmStandby: {
    of: () => vm.standby,
    calls: {
      status: (call) => vm.standby.status(call),
      hold: (call) => vm.standby.hold(call),
      set: (call) => vm.standby.set({ wake: 'never' }, call),
    },
  },
  Resources: {
    of: () => viv.resources,
    calls: {
      get: (call) => viv.resources.get(call),
      reclaimMemory: (call) => viv.resources.reclaimMemory({ bytes: 1, ...call }),
    },
  },
  Operations: {
    of: () => viv.operations,
    calls: {
      list: (call) => viv.operations.list(call),
      all: (call) => viv.operations.all(call),
      get: (call) => viv.operations.get('x', call),
      wait: (call) => viv.operations.wait('x', call),
      cancel: (call) => viv.operations.cancel('x', call),
      watch: (call) => viv.operations.watch('x', call),
    },
  },
  Tokens: {
    of: () => viv.tokens ?? assert.fail(),
    calls: {
      create: async (call) => viv.tokens?.create(call),
      list: async (call) => viv.tokens?.list(call),
      revoke: async (call) => viv.tokens?.revoke('x', call),
    },
  },
};

/** Milliseconds; what takes longer hangs. */
const longMs = 5000;

/** @throws AssertionError naming the call where it hangs. */
async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new assert.AssertionError({ message: `${what} hangs` })),
    longMs,
  );
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}

async function outcome(made: PromiseLike<unknown> | AsyncIterable<unknown>): Promise<unknown> {
  if ('then' in made)
    return made.then(
      () => 'succeeded',
      (error: unknown) => error,
    );
  try {
    for await (const _ of made) return 'gave something';
    return 'ended';
  } catch (error) {
    return error;
  }
}

function methodsOf(room: object): string[] {
  const all = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(room)));
  return all
    .filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function')
    .map(([name]) => name);
}

for (const [name, { of, calls }] of Object.entries(rooms)) {
  test(`every call of ${name} takes a signal`, () => {
    assert.deepEqual(Object.keys(calls).sort(), methodsOf(of()).sort());
  });

  test(`an aborted signal ends every call of ${name} before anything is sent`, async () => {
    gate.hold();
    let asked = false;
    void gate.held.promise.then(() => {
      asked = true;
    });
    for (const [method, call] of Object.entries(calls)) {
      const error = await soon(outcome(call({ signal: AbortSignal.abort() })), method);
      assert.ok(isVivError(error, 'cancelled'), `${method}: ${error}`);
      assert.equal(asked, false, method);
    }
    gate.holding = false;
  });

  test(`an abort closes the request of every call of ${name} at once`, async () => {
    for (const [method, call] of Object.entries(calls)) {
      if (local.has(method)) continue;
      gate.hold();
      const abort = new AbortController();
      const ended = outcome(call({ signal: abort.signal }));
      const failed = ended.then((error) => assert.fail(`${method}: ${error}`));
      await soon(Promise.race([gate.held.promise, failed]), `${method}, on its way,`);
      abort.abort();
      const error = await soon(ended, method);
      assert.ok(isVivError(error, 'cancelled'), `${method}: ${error}`);
      await soon(gate.givenUp.promise, `the request of ${method}`);
    }
    gate.holding = false;
  });
}
