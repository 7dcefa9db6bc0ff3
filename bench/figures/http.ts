import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { connect } from '@vivarium/client';
import { type Engine, openEngine } from '@vivarium/engine';
import type { Vivarium } from '@vivarium/model';
import { startDaemon } from '../daemon.ts';
import { type Figure, type Measured, ms } from '../figure.ts';
import { LeanClient } from '../floor/lean-client.ts';
import { steadily } from '../floor/steady.ts';
import { interleaved, median, quantile, timed } from '../stats.ts';

const many = 10_000;
const requests = 500;
/** Requests a second, and for how many seconds. */
const rate = 500;
const seconds = 10;

/** What HTTP adds. */
export const http: Figure = {
  name: 'http',
  async run() {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
    try {
      return [
        await steadyGets(path.join(dir, 'steady')),
        await filteredPage(path.join(dir, 'many')),
        await execSocket(path.join(dir, 'exec')),
        await creates(path.join(dir, 'real')),
      ];
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};

async function steadyGets(home: string): Promise<Measured> {
  await using daemon = await startDaemon(home, 'simulated');
  await using viv = connect({ home, autostart: false });
  await viv.create({ image: 'busybox', name: 'one' });
  // Theirs and ours: who asks is not to wait for who answers.
  await promisify(execFile)('taskset', ['-a', '-p', '-c', '0', String(daemon.pid)]);
  await steadily(daemon.socket, '/instances/one', { rate, seconds: 2 });
  const times = await steadily(daemon.socket, '/instances/one', { rate, seconds });
  const p99 = quantile(times, 0.99);
  return {
    what: `GET of an instance at ${rate} requests a second, open loop, the daemon on one processor, p99 of ${seconds} s`,
    ours: `${ms(p99)} (p50 ${ms(quantile(times, 0.5))})`,
    floor: '-',
    promise: 'under 5 ms',
    kept: p99 < 5,
  };
}

async function filteredPage(home: string): Promise<Measured> {
  {
    await using engine = await openEngine({ home, driver: 'simulated', mode: 'daemon' });
    for (let made = 0; made < many; made += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, n) =>
          engine.create({
            image: 'busybox',
            name: `vm-${made + n}`,
            tags: { team: `t${(made + n) % 20}`, odd: `${n % 2}` },
          }),
        ),
      );
    }
  }
  await using daemon = await startDaemon(home, 'simulated');
  using client = new LeanClient(daemon.socket, '/instances?limit=100&viv_state=Stopped&tags%5Bteam%5D=t7');
  const times: number[] = [];
  for (let n = 0; n < requests; n++) times.push(await timed(() => client.get()));
  const p99 = quantile(times, 0.99);
  return {
    what: `Page of 100 of ${many} instances by state and tag (1 in 20), p99 of the first ${requests} of a daemon`,
    ours: `${ms(p99)} (p50 ${ms(quantile(times, 0.5))})`,
    floor: '-',
    promise: 'under 10 ms',
    kept: p99 < 10,
  };
}

async function execSocket(home: string): Promise<Measured> {
  await using _ = await startDaemon(home, 'simulated');
  await using viv = connect({ home, autostart: false });
  await using engine = await openEngine({ driver: 'simulated' });
  const remote = await viv.run('busybox');
  const local = await engine.run('busybox');
  const once = (vm: typeof remote) => () => timed(() => vm.exec(['true']).orThrow());
  for (let n = 0; n < 100; n++) {
    await once(remote)();
    await once(local)();
  }
  const { ours, floor } = await interleaved(300, once(remote), once(local));
  const added = median(ours) - median(floor);
  return {
    what: 'exec of `true` over its socket, less the same by the engine, p50 of 300 pairs',
    ours: `${ms(added)} (${ms(median(ours))})`,
    floor: `${ms(median(floor))} (the engine, simulated)`,
    promise: 'under 1 ms',
    kept: added < 1,
  };
}

async function creates(home: string): Promise<Measured> {
  await using _ = await startDaemon(home, 'qemu');
  await using viv = connect({ home, autostart: false });
  await using engine = await openEngine({ home: `${home}-engine`, mode: 'daemon' });
  for (const door of [viv, engine]) await door.templates.warm({ image: 'busybox' });
  const once = (door: Vivarium | Engine) => async () => {
    const began = performance.now();
    const vm = await door.run('busybox', { cmd: ['sleep', '1000'] });
    const took = performance.now() - began;
    await vm.delete({ force: true });
    return took;
  };
  await once(viv)();
  await once(engine)();
  const { ours, floor } = await interleaved(15, once(viv), once(engine));
  // Each beside its neighbour: the machine drifts more than the difference is.
  const added = median(ours.map((value, index) => value - (floor[index] ?? value)));
  return {
    what: 'Create to Running through HTTP, less the same by the engine, 15 interleaved pairs, real QEMU',
    ours: `${ms(added)} (${ms(median(ours))})`,
    floor: `${ms(median(floor))} (the engine)`,
    promise: 'under 10 ms',
    kept: added < 10,
  };
}
