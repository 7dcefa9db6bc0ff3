import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isVivError, type VivError, type Vm } from '@vivarium/model';
import {
  type Fault,
  type FaultPointName,
  SimulatedDriver,
  SimulatedHost,
} from './drivers/simulated/index.ts';
import { MortalDriver } from './drivers/simulated/mortal.ts';
import { abandon, type Engine } from './engine.ts';
import { openEngine } from './open.ts';
import { simulatedParts } from './parts.ts';

/** Rejects like assert.rejects, and answers the error. */
async function failure(promise: PromiseLike<unknown>): Promise<VivError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(isVivError(error), String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'it succeeded' });
}

let home: string;
let host: SimulatedHost;
let driver: MortalDriver;
let engine: Engine;

async function open(): Promise<Engine> {
  driver = new MortalDriver(new SimulatedDriver(host));
  const parts = await simulatedParts(driver);
  engine = await openEngine({ home, mode: 'daemon', driver: parts, templates: false });
  return engine;
}

/** A call that will not be answered, because its engine is about to be gone. */
function cutOff(promise: PromiseLike<unknown>): void {
  promise.then(undefined, () => undefined);
}

/** What a kill -9 of the daemon comes to. */
async function kill(): Promise<void> {
  driver.die();
  await engine[abandon]();
}

async function reopen(): Promise<Engine> {
  await kill();
  return open();
}

beforeEach(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'viv-engine-'));
  host = new SimulatedHost();
  await open();
});
afterEach(async () => {
  host.faults.clear();
  for await (const { id } of engine.all()) await (await engine.get(id)).delete({ force: true });
  await engine.close();
  assert.deepEqual(readdirSync(path.join(home, 'instances')), []);
  rmSync(home, { recursive: true });
});

describe('the life of an instance', () => {
  it('goes through every stop and start with the state observed after each', async () => {
    const vm = await engine.create({ image: 'busybox', name: 'one' });
    assert.equal(vm.info.state, 'Stopped');
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.deepEqual(await vm.start(), { changed: false, state: 'Running' });
    assert.equal(vm.info.generation, 1);
    assert.equal((await vm.exec(['echo', 'hello'])).stdout, 'hello\n');
    assert.deepEqual(await vm.pause(), { changed: true, state: 'Paused' });
    assert.equal((await failure(vm.exec(['true']))).code, 'invalid_state');
    assert.deepEqual(await vm.resume(), { changed: true, state: 'Running' });
    assert.deepEqual(await vm.stop(), { changed: true, state: 'Stopped' });
    assert.equal(vm.info.exit?.reason, 'stopped');
    assert.deepEqual(await vm.stop(), { changed: false, state: 'Stopped' });
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.equal(vm.info.generation, 2);
    assert.equal((await failure(vm.delete())).code, 'invalid_state');
    await vm.delete({ force: true });
    assert.equal((await failure(engine.get('one'))).code, 'not_found');
  });

  it('can be prepared: VMM alive, guest not booted, and then started or stopped', async () => {
    const vm = await engine.create({ image: 'busybox' });
    assert.deepEqual(await vm.prepare(), { changed: true, state: 'Created' });
    const pid = vm.info.vmm?.pid;
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.equal(vm.info.vmm?.pid, pid);
    await vm.stop();
    await vm.prepare();
    assert.deepEqual(await vm.stop(), { changed: true, state: 'Stopped' });
  });

  it('can be shut down with its VMM kept, and started again', async () => {
    const vm = await engine.run('busybox');
    assert.deepEqual(await vm.shutdown(), { changed: true, state: 'Shutdown' });
    assert.ok(vm.info.vmm);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
  });

  it('ends with its entrypoint, whose exit code is kept', async () => {
    const vm = await engine.run('busybox', { cmd: ['sh', '-c', 'exit 7'] });
    const info = await vm.waitFor('Stopped');
    assert.equal(info.exit?.code, 7);
    assert.equal(info.exit?.reason, 'exited');
  });

  it('is forgotten at its end when it was made to be', async () => {
    const vm = await engine.run('busybox', { cmd: ['true'], autoRemove: true });
    await vm.waitFor('Deleted');
    assert.equal((await failure(engine.get(vm.id))).code, 'not_found');
  });

  it('tells of every transition as a stored event', async () => {
    const vm = await engine.run('busybox');
    await vm.stop();
    const abort = new AbortController();
    const states: unknown[] = [];
    for await (const { type, data } of engine.events({ since: 0, signal: abort.signal })) {
      if (type === 'state') states.push(data.to);
      if (data.to === 'Stopped' && states.length > 3) abort.abort();
    }
    assert.deepEqual(states, [
      'Cloning',
      'Stopped',
      'Starting',
      'Initializing',
      'Running',
      'Stopping',
      'Stopped',
    ]);
  });
});

describe('names and listing', () => {
  it('gives a name to one of two that ask for it at once', async () => {
    const both = await Promise.allSettled([
      engine.create({ image: 'busybox', name: 'same' }),
      engine.create({ image: 'busybox', name: 'same' }),
    ]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const lost = both.find((result) => result.status === 'rejected');
    assert.ok(lost?.status === 'rejected' && isVivError(lost.reason, 'name_conflict'));
    assert.equal(readdirSync(path.join(home, 'instances')).length, 1);
  });

  it('finds by id, name and id prefix, and says when a prefix is not enough', async () => {
    const vms: Vm[] = [];
    for (let n = 0; n < 40; n++) vms.push(await engine.create({ image: 'busybox' }));
    const [first] = vms;
    assert.ok(first);
    assert.equal((await engine.get(first.id)).id, first.id);
    assert.equal((await engine.get(first.name)).id, first.id);
    assert.equal((await engine.get(first.id.slice(0, 12))).id, first.id);
    const shared = vms
      .map(({ id }) => id.slice(0, 2))
      .find((prefix, index, all) => all.indexOf(prefix) !== index);
    if (shared !== undefined) assert.equal((await failure(engine.get(shared))).code, 'ambiguous');
  });

  it('pages in the order of creation, also when the last one of a page is deleted meanwhile', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++)
      ids.push((await engine.create({ image: 'busybox', tags: { n: String(n % 2) } })).id);
    const page = await engine.list({ limit: 2 });
    assert.deepEqual(page.items.map(({ id }) => id).sort(), ids.slice(0, 2).sort());
    await (await engine.get(page.items[1]?.id ?? '')).delete();
    const rest = await engine.list({ limit: 10, cursor: page.next });
    assert.equal(rest.items.length, 3);
    assert.equal(rest.next, undefined);
    assert.equal((await engine.list({ tags: { n: '1' }, states: ['Stopped'] })).items.length, 1);
  });

  it('renames in any state, and refuses a taken name', async () => {
    const one = await engine.create({ image: 'busybox', name: 'one' });
    await engine.create({ image: 'busybox', name: 'two' });
    assert.equal((await failure(one.rename('two'))).code, 'name_conflict');
    assert.equal((await failure(one.rename('Bad Name'))).code, 'invalid_name');
    await one.start();
    await one.rename('uno');
    assert.equal((await engine.get('uno')).info.state, 'Running');
  });
});

describe('bad input', () => {
  for (const [what, options, code] of [
    ['a malformed name', { name: 'No_Good' }, 'invalid_name'],
    ['too little memory', { memory: '8MB' }, 'invalid_size'],
    ['more memory than the host has', { memory: '1000TB' }, 'invalid_size'],
    ['a size that is none', { disk: 'huge' }, 'invalid_size'],
    ['no vCPU', { cpus: 0 }, 'invalid_request'],
    ['a port that is none', { ports: [{ guestPort: 70_000 }] }, 'invalid_request'],
    ['a port without a network', { ports: [{ guestPort: 80 }], network: 'none' as const }, 'invalid_request'],
  ] as const) {
    it(`says what is wrong with ${what}, and leaves nothing`, async () => {
      const error = await failure(
        engine.create({
          image: 'busybox',
          ...options,
          ports: 'ports' in options ? [...options.ports] : undefined,
        }),
      );
      assert.equal(error.code, code);
      assert.deepEqual((await engine.list()).items, []);
    });
  }

  it('says that a command does not exist, and that the VM is gone again', async () => {
    const error = await failure(engine.run('busybox', { cmd: ['no-such-command'] }));
    assert.equal(error.code, 'command_not_found');
    assert.deepEqual((await engine.list()).items, []);
  });
});

describe('two at once', () => {
  it('a stop interrupts a start and leaves the VM stopped', async () => {
    const vm = await engine.create({ image: 'busybox' });
    host.faults.inject('boot.init', { effect: 'hang' });
    const start = failure(vm.start());
    await vm.waitFor('Initializing');
    assert.deepEqual(await vm.stop(), { changed: true, state: 'Stopped' });
    assert.equal((await start).code, 'cancelled');
    host.faults.clear();
    assert.equal((await vm.start()).state, 'Running');
  });

  it('two stops, two starts and two deletes share one outcome', async () => {
    const vm = await engine.create({ image: 'busybox' });
    assert.deepEqual(
      (await Promise.all([vm.start(), vm.start()])).map(({ state }) => state),
      ['Running', 'Running'],
    );
    await Promise.all([vm.stop(), vm.stop()]);
    await Promise.all([vm.delete(), vm.delete()]);
  });

  it('a conflicting action is told what holds the instance', async () => {
    const vm = await engine.create({ image: 'busybox' });
    host.faults.inject('boot.init', { effect: 'hang' });
    const start = failure(vm.start());
    await vm.waitFor('Initializing');
    const error = await failure(vm.rename('other'));
    assert.equal(error.code, 'busy');
    assert.match(error.message, /start/);
    await vm.delete({ force: true });
    await start;
  });

  it('an aborted start is undone before it rejects', async () => {
    const vm = await engine.create({ image: 'busybox' });
    host.faults.inject('boot.init', { effect: 'hang' });
    const abort = new AbortController();
    const start = failure(vm.start({ signal: abort.signal }));
    await vm.waitFor('Initializing');
    abort.abort();
    assert.equal((await start).code, 'cancelled');
    assert.equal(vm.info.state, 'Stopped');
    assert.equal(vm.info.vmm, undefined);
  });
});

describe('when things break', () => {
  it('a VMM that dies is seen at once, with the reason', async () => {
    const vm = await engine.run('busybox');
    const began = performance.now();
    host.crash(path.join(home, 'instances', vm.id), { signal: 'SIGKILL' });
    const info = await vm.waitFor('Stopped');
    assert.ok(performance.now() - began < 1000);
    assert.equal(info.exit?.reason, 'vmm_exited');
    assert.equal(info.exit?.vmm?.signal, 'SIGKILL');
    assert.equal((await vm.start()).state, 'Running');
  });

  it('a guest that panics while it boots fails the start with its stage and its last words', async () => {
    host.faults.inject('boot.kernel', { effect: 'panic', message: 'no root for you' });
    const error = await failure(engine.run('busybox'));
    assert.equal(error.code, 'guest_panicked');
    assert.match(error.message, /no root for you/);
    assert.deepEqual((await engine.list()).items, []);
  });

  const faults: [FaultPointName, Fault][] = [
    ['launch.before-spawn', { effect: 'error' }],
    ['launch.after-spawn', { effect: 'error' }],
    ['launch.before-ready', { effect: 'crash' }],
    ['boot.init', { effect: 'crash' }],
    ['open.control', { effect: 'error' }],
    ['status', { effect: 'error' }],
  ];
  for (const [point, fault] of faults) {
    it(`a start that fails at ${point} goes back to Stopped, and works the next time`, async () => {
      const vm = await engine.create({ image: 'busybox' });
      host.faults.inject(point, fault);
      await failure(vm.start());
      assert.equal(vm.info.state, 'Stopped');
      assert.equal(vm.info.vmm, undefined);
      assert.equal((await vm.start()).state, 'Running');
    });
  }

  it('a VMM that cannot be proven dead makes the instance Error and keeps everything; a forced stop leads out', async () => {
    const vm = await engine.run('busybox');
    host.faults.inject('kill', { effect: 'error' });
    await failure(vm.stop({ force: true }));
    assert.equal(vm.info.state, 'Error');
    assert.ok(existsSync(path.join(home, 'instances', vm.id)));
    assert.equal((await failure(vm.start())).code, 'invalid_state');
    assert.equal((await vm.stop({ force: true })).state, 'Stopped');
    assert.equal(vm.info.stateError, undefined);
  });
});

describe('after the daemon was killed', () => {
  it('a running VM is adopted with the same pid, and its guest answers', async () => {
    const vm = await engine.run('busybox', { name: 'web' });
    const pid = vm.info.vmm?.pid;
    await reopen();
    const again = await engine.get('web');
    assert.equal(again.info.state, 'Running');
    assert.equal(again.info.vmm?.pid, pid);
    assert.equal((await again.exec(['echo', 'still here'])).stdout, 'still here\n');
  });

  it('a VM that ended meanwhile is Stopped, with how it ended', async () => {
    const vm = await engine.run('busybox', { name: 'web' });
    await kill();
    host.crash(path.join(home, 'instances', vm.id), { signal: 'SIGSEGV' });
    await open();
    const { info } = await engine.get('web');
    assert.equal(info.state, 'Stopped');
    assert.equal(info.exit?.vmm?.signal, 'SIGSEGV');
  });

  it('a paused VM is still paused, and resumes', async () => {
    const vm = await engine.run('busybox', { name: 'web' });
    await vm.pause();
    await reopen();
    const again = await engine.get('web');
    assert.equal(again.info.state, 'Paused');
    await again.resume();
    assert.equal((await again.exec(['true'])).ok, true);
  });

  it('a prepared VM is still prepared', async () => {
    const vm = await engine.create({ image: 'busybox', name: 'web' });
    await vm.prepare();
    await reopen();
    const again = await engine.get('web');
    assert.equal(again.info.state, 'Created');
    assert.equal((await again.start()).state, 'Running');
  });

  for (const point of [
    'launch.before-spawn',
    'launch.after-spawn',
    'launch.before-ready',
    'boot.kernel',
    'boot.init',
  ] as const) {
    it(`a start cut off at ${point} is undone, and nothing runs`, async () => {
      const vm = await engine.create({ image: 'busybox', name: 'web' });
      host.faults.inject(point, { effect: 'hang' });
      const struck = host.faults.reached(point);
      cutOff(vm.start());
      await struck;
      await reopen();
      const again = await engine.get('web');
      assert.equal(again.info.state, 'Stopped');
      host.faults.clear();
      assert.equal((await again.start()).state, 'Running');
    });
  }

  it('a delete cut off in the middle is finished', async () => {
    const vm = await engine.run('busybox', { name: 'web' });
    host.faults.inject('kill', { effect: 'hang' });
    const struck = host.faults.reached('kill');
    cutOff(vm.delete({ force: true }));
    await struck;
    await reopen();
    assert.equal((await failure(engine.get('web'))).code, 'not_found');
  });
});
