import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@vivarium/client';
import { startDaemon } from '../../daemon.ts';
import { type Measured, ms } from '../../figure.ts';
import { ownBytes } from '../../processes.ts';
import { median } from '../../stats.ts';
import { argv, type Ground, image, startToOutput } from './ground.ts';
import { fill } from './loaded.ts';

const launcher = path.resolve(import.meta.dirname, '../../../viv');
const GiB = 2 ** 30;

/** What a daemon and the command add, and what saving much costs the daemon. */
export async function throughDaemon(ground: Ground): Promise<Measured[]> {
  const home = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
  try {
    await using daemon = await startDaemon(home, 'qemu');
    await using viv = connect({ home, autostart: false });
    await viv.templates.warm({ image });
    return [await command(ground, home), ...(await bigSave(viv, daemon.pid))];
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function command(ground: Ground, home: string): Promise<Measured> {
  const whole: number[] = [];
  const ends: number[] = [];
  const engine: number[] = [];
  await run(home);
  for (let round = 0; round < ground.rounds; round++) {
    engine.push(await startToOutput(ground, 'image-template'));
    const { output, end } = await run(home);
    whole.push(output);
    ends.push(end);
  }
  const added = median(whole) - median(engine);
  return {
    what: `viv run --rm, from its own start to the first output, less the engine's, ${ground.rounds} pairs`,
    ours: `${ms(added)} (${ms(median(whole))}; to the end of the process, the VM removed: ${ms(median(ends))})`,
    floor: `${ms(median(engine))} (the engine)`,
    promise: `at most ${120 * ground.margin} ms`,
    kept: added <= 120 * ground.margin,
  };
}

async function run(home: string): Promise<{ output: number; end: number }> {
  const began = performance.now();
  const child = spawn(launcher, ['run', '--rm', image, '--', ...argv], {
    env: { ...process.env, VIV_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = Number.NaN;
  child.stdout.once('data', () => {
    output = performance.now() - began;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0 || Number.isNaN(output)) throw new Error(`viv run ended with ${code}`);
  return { output, end: performance.now() - began };
}

async function bigSave(viv: ReturnType<typeof connect>, pid: number): Promise<Measured[]> {
  await using vm = await viv.run(image, { memory: '5GB', cmd: ['sleep', '1000000'] });
  await vm.exec(['mount', '-o', 'remount,size=4200m', '/dev/shm']).orThrow();
  await fill(vm, 4096, '/dev/shm/fill');
  const before = await ownBytes(pid);
  let most = before;
  let saving = true;
  const began = performance.now();
  const saved = vm.suspend().then(() => {
    saving = false;
  });
  while (saving) {
    most = Math.max(most, await ownBytes(pid));
    await delay(25);
  }
  await saved;
  const more = (most - before) / 2 ** 20;
  const took = performance.now() - began;
  const rate = Math.round((4 * GiB) / 1e3 / took);
  return [
    {
      what: "The daemon's own memory while it saves 4 GB, most of what it is more than before",
      ours: `${Math.round(more)} MB (${(took / 1000).toFixed(1)} s, ${rate} MB/s)`,
      floor: '-',
      promise: 'under 50 MB',
      kept: more < 50,
    },
  ];
}
