import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connect } from '@vivarium/client';
import type { MakingOptions, Vivarium } from '@vivarium/model';

const program = path.join(import.meta.dirname, 'main.ts');

/** A directory with a daemon of simulated VMs, which the SDK starts again whenever it has been killed. */
class Killable implements AsyncDisposable {
  readonly home = mkdtempSync(path.join(tmpdir(), 'vivd-'));
  readonly viv: Vivarium = connect({ home: this.home, autostart: () => this.#start() });
  #child: ChildProcess | undefined;
  starts = 0;

  async #start(): Promise<void> {
    this.starts++;
    const child = spawn(process.execPath, [program, '--home', this.home, '--driver', 'simulated'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    await once(child.stdout as never, 'data');
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.viv[Symbol.asyncDispose]();
    const exit = once(this.#child as ChildProcess, 'exit');
    this.kill();
    await exit;
    rmSync(this.home, { recursive: true, force: true });
  }
}

interface Kind {
  before?(viv: Vivarium): PromiseLike<unknown>;
  /** Answers the ids of what was made. */
  ask(viv: Vivarium, options: MakingOptions): Promise<string[]>;
  /** Ids of all there are. */
  there(viv: Vivarium): Promise<string[]>;
}

const ids = (things: readonly { id: string }[]) => things.map(({ id }) => id).sort();
const source = (viv: Vivarium) => viv.run('busybox', { name: 'source' });
const instances = async (viv: Vivarium) =>
  ids((await viv.list()).items.filter(({ name, pool }) => name !== 'source' && pool === undefined));

const kinds: Record<string, Kind> = {
  create: {
    ask: async (viv, options) => [(await viv.create({ image: 'busybox', name: 'one' }, options)).id],
    there: instances,
  },
  run: {
    ask: async (viv, options) => [(await viv.run('busybox', {}, options)).id],
    there: instances,
  },
  fork: {
    before: source,
    ask: async (viv, options) =>
      ids(await (await viv.get('source')).fork({ count: 5, name: 'c%d', ...options })),
    there: instances,
  },
  snapshot: {
    before: source,
    ask: async (viv, options) => [(await (await viv.get('source')).snapshots.create(options)).id],
    there: async (viv) => ids(await viv.snapshots.list()),
  },
  'fork of a snapshot': {
    before: async (viv) => (await viv.create({ image: 'busybox', name: 'source' })).snapshots.create(),
    ask: async (viv, options) => {
      const [{ id } = { id: '' }] = await viv.snapshots.list();
      return ids(await viv.snapshots.fork(id, { count: 3, ...options }));
    },
    there: instances,
  },
  pool: {
    ask: async (viv, options) => [
      (await viv.pools.create('p', { image: 'busybox', size: 1, ...options })).info.createdAt,
    ],
    there: async (viv) => (await viv.pools.list()).map(({ createdAt }) => createdAt),
  },
  acquire: {
    before: (viv) => viv.pools.create('p', { image: 'busybox', size: 1, stage: 'stopped' }),
    ask: async (viv, options) => [(await (await viv.pools.get('p')).acquire(options)).id],
    there: async (viv) => ids((await viv.list()).items.filter(({ acquiredAt }) => acquiredAt !== undefined)),
  },
  'image pull': {
    ask: async (viv, options) => [(await viv.images.pull('debian', options)).digest],
    there: async (viv) => (await viv.images.list()).map(({ digest }) => digest),
  },
};

/** When the daemon is killed after the request has been sent. */
const moments: Record<string, (kill: () => void) => MakingOptions> = {
  'at once': (kill) => {
    setImmediate(kill);
    return {};
  },
  'within a few milliseconds': (kill) => {
    setTimeout(kill, 1 + Math.random() * 8);
    return {};
  },
  'with its first stage': (kill) => ({ onProgress: kill }),
};

for (const [name, kind] of Object.entries(kinds)) {
  test(`a ${name} whose vivd is killed -9 meanwhile is made once, by the SDK’s own second request`, async () => {
    for (const [moment, at] of Object.entries(moments)) {
      await using house = new Killable();
      const { viv } = house;
      await viv.list();
      await kind.before?.(viv);
      let killed = false;
      const options = at(() => {
        if (!killed) house.kill();
        killed = true;
      });
      const made = await kind.ask(viv, { idempotencyKey: 'k', ...options });
      assert.deepEqual(await kind.there(viv), made, moment);
      house.kill();
      assert.deepEqual(await kind.ask(viv, { idempotencyKey: 'k' }), made, `${moment}, and once more`);
      assert.deepEqual(await kind.there(viv), made, moment);
      assert.ok(house.starts >= 2);
    }
  });
}
