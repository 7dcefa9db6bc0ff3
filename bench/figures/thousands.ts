import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { connect } from '@vivarium/client';
import { openEngine } from '@vivarium/engine';
import { type Figure, type Measured, ms } from '../figure.ts';
import { median, quantile, timed } from '../stats.ts';

const many = 10_000;
const alive = 1000;
const requests = 500;
const program = path.resolve(import.meta.dirname, '../../packages/daemon/src/main.ts');

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
  await using daemon = await simulatedDaemon(home);
  const restart = performance.now() - began;
  const floor = await emptyServer();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const pages: number[] = [];
  for (let n = 0; n < requests; n++) {
    pages.push(await timed(() => get({ socketPath: daemon.socket, path: '/instances?limit=100', agent })));
  }
  agent.destroy();
  return [
    {
      what: `Page of 100 of ${many} instances over HTTP, p99 of ${requests}`,
      ours: ms(quantile(pages, 0.99)),
      floor: `${ms(floor)} (p99 of an empty answer by the same HTTP server)`,
      promise: 'under 5 ms',
      kept: quantile(pages, 0.99) < 5,
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
  await using daemon = await simulatedDaemon(home);
  await using viv = connect({ home, autostart: false });
  for (let made = 0; made < alive; made += 50) {
    await Promise.all(Array.from({ length: 50 }, () => viv.run('busybox')));
  }
  const rollup = await readFile(`/proc/${daemon.pid}/smaps_rollup`, 'utf8');
  const megabytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]) / 1024;
  const own = megabytes('Private_Dirty') + megabytes('Private_Clean');
  return {
    what: `Memory of the daemon with ${alive} simulated instances running`,
    ours: `${Math.round(own)} MB of its own, ${Math.round(megabytes('Rss'))} MB resident`,
    floor: '-',
    promise: 'under 150 MB of its own',
    kept: own < 150,
  };
}

/** Up when this resolves; its VMs are in its own memory. */
async function simulatedDaemon(home: string): Promise<AsyncDisposable & { socket: string; pid: number }> {
  const child = spawn(
    process.execPath,
    // As the SDK starts it.
    [
      '--max-semi-space-size=2',
      '--disable-warning=ExperimentalWarning',
      program,
      '--home',
      home,
      '--driver',
      'simulated',
    ],
    { stdio: ['ignore', 'ignore', 'inherit', 'pipe'], env: { ...process.env, VIVD_READY_FD: '3' } },
  );
  const gone = new Promise((resolve) => child.once('exit', resolve));
  let said = '';
  for await (const chunk of child.stdio[3] as Readable) {
    said += chunk;
    if (said.includes('\n')) break;
  }
  const { ready } = JSON.parse(said) as { ready: { socket: string; pid: number } };
  return {
    ...ready,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await gone;
    },
  };
}

function get(options: http.RequestOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  http
    .get(options, (response) => {
      response.resume();
      response.once('end', resolve);
    })
    .once('error', reject);
  return promise;
}

async function emptyServer(): Promise<number> {
  const server = http.createServer((_, response) => response.end('{}'));
  const socketPath = path.join(tmpdir(), `viv-empty-${process.pid}.sock`);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let n = 0; n < requests; n++) times.push(await timed(() => get({ socketPath, path: '/', agent })));
  agent.destroy();
  await new Promise((resolve) => server.close(resolve));
  return quantile(times, 0.99);
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
