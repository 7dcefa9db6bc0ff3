import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import { openEngine } from '@vivarium/engine';
import { startDaemon } from '../daemon.ts';
import { type Figure, type Measured, ms } from '../figure.ts';
import { leanPages, nodePages } from '../floor/pages.ts';
import { ownBytes, rollup } from '../processes.ts';
import { median, quantile, timed } from '../stats.ts';

const many = 10_000;
const alive = 1000;
const requests = 500;
const page = '/instances?limit=100';

/** What thousands of instances cost, without a VM: the simulated driver. */
export const thousands: Figure = {
  name: 'thousands',
  async run() {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
    try {
      return [...(await listings(path.join(dir, 'many'))), await memory(path.join(dir, 'alive'))];
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};

async function listings(home: string): Promise<Measured[]> {
  let lookup: number;
  {
    await using engine = await openEngine({ home, driver: 'simulated', mode: 'daemon' });
    for (let made = 0; made < many; made += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => engine.create({ image: 'busybox', name: `vm-${made + n}` })),
      );
    }
    const times: number[] = [];
    for (let n = 0; n < requests; n++) times.push(await timed(() => engine.get(`vm-${(n * 7919) % many}`)));
    lookup = quantile(times, 0.99);
  }
  const began = performance.now();
  await using daemon = await startDaemon(home, 'simulated');
  const restart = performance.now() - began;
  const lean = await leanPages(daemon.socket, page, requests);
  const stock = await nodePages(daemon.socket, page, requests);
  return [
    {
      what: `Page of 100 of ${many} instances over HTTP, p99 of the first ${requests} of a daemon`,
      ours: ms(quantile(lean.ours, 0.99)),
      floor: `${ms(quantile(lean.floor, 0.99))} (p99 of as many bytes from a bare server)`,
      promise: 'under 5 ms',
      kept: quantile(lean.ours, 0.99) < 5,
    },
    {
      what: "The same of the next ones through Node's own client, its garbage included, p99",
      ours: ms(quantile(stock.ours, 0.99)),
      floor: `${ms(quantile(stock.floor, 0.99))} (p99 of as many bytes from a bare server)`,
      promise: '-',
      kept: true,
    },
    {
      what: `Look-up by name among ${many} in the engine, p99`,
      ours: ms(lookup),
      floor: '-',
      promise: 'under 1 ms',
      kept: lookup < 1,
    },
    {
      what: `Daemon start with ${many} records, whole process`,
      ours: ms(restart),
      floor: `${ms(await emptyNode())} (Node with nothing to do)`,
      promise: 'under 3 s',
      kept: restart < 3000,
    },
  ];
}

async function memory(home: string): Promise<Measured> {
  await using daemon = await startDaemon(home, 'simulated');
  await using viv = connect({ home, autostart: false });
  for (let made = 0; made < alive; made += 50) {
    await Promise.all(Array.from({ length: 50 }, () => viv.run('busybox')));
  }
  const own = (await ownBytes(daemon.pid)) / 2 ** 20;
  const resident = (await rollup(daemon.pid, 'Rss')) / 2 ** 20;
  return {
    what: `Memory of the daemon with ${alive} simulated instances running`,
    ours: `${Math.round(own)} MB of its own, ${Math.round(resident)} MB resident`,
    floor: '-',
    promise: 'under 150 MB of its own',
    kept: own < 150,
  };
}

async function emptyNode(): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 5; n++) {
    times.push(
      await timed(
        () =>
          new Promise((resolve) =>
            spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }).once('exit', resolve),
          ),
      ),
    );
  }
  return median(times);
}
