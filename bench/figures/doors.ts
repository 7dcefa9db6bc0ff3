import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import { type Figure, ms } from '../figure.ts';
import { median, timed } from '../stats.ts';

const rounds = 15;
const launcher = path.resolve(import.meta.dirname, '../../viv');

/** What the command adds to what the SDK does in a process that is up already. */
export const doors: Figure = {
  name: 'doors',
  async run() {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
    const env = { ...process.env, VIV_HOME: home };
    try {
      await using viv = connect({ home });
      await using vm = await viv.run('busybox', { name: 'bench' });
      await command(env, ['exec', 'bench', 'true']);
      await command(env, ['ps']);
      const whole: number[] = [];
      const sdk: number[] = [];
      const ps: number[] = [];
      const node: number[] = [];
      for (let n = 0; n < rounds; n++) {
        sdk.push(await timed(() => vm.exec(['true']).orThrow()));
        whole.push(await timed(() => command(env, ['exec', 'bench', 'true'])));
        ps.push(await timed(() => command(env, ['ps'])));
        node.push(await timed(() => run(process.execPath, ['-e', '0'], env)));
      }
      const added = median(whole) - median(sdk);
      return [
        {
          what: `viv exec NAME true, whole process, less the same through the SDK, ${rounds} pairs`,
          ours: ms(added),
          floor: `${ms(median(node))} (Node with nothing to do)`,
          promise: 'at most 120 ms',
          kept: added <= 120,
        },
        {
          what: 'viv ps, whole process',
          ours: ms(median(ps)),
          floor: `${ms(median(node))} (Node with nothing to do)`,
          promise: 'under 150 ms',
          kept: median(ps) < 150,
        },
      ];
    } finally {
      await command(env, ['daemon', 'stop']);
      await rm(home, { recursive: true, force: true });
    }
  },
};

function command(env: NodeJS.ProcessEnv, args: string[]): Promise<void> {
  return run(launcher, args, env);
}

function run(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  child.once('error', reject);
  child.once('exit', (code) =>
    code === 0 ? resolve() : reject(new Error(`${program} ${args.join(' ')} ended with ${code}`)),
  );
  return promise;
}
