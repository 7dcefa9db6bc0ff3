import { spawn } from 'node:child_process';
import path from 'node:path';
import { findCargo } from './cargo.ts';

/*
 * Mutated bytes for both ends: the host's decoder first, then the routes of the HTTP API, then what the guest reads with. Arguments: seconds for each
 * (default 5), and the seed to begin with. A failure prints its seed.
 */

const root = path.resolve(import.meta.dirname, '..');
const [seconds = '5', ...seed] = process.argv.slice(2);
const numbers = [seconds, ...seed];
if (numbers.length > 2 || !numbers.every((number) => /^\d+$/.test(number))) {
  process.stderr.write('usage: npm run fuzz -- [SECONDS] [SEED]\n');
  process.exit(2);
}

interface Program {
  title: string;
  argv: string[];
  cwd: string;
  env?: NodeJS.ProcessEnv;
}

async function succeeds({ title, argv, cwd, env }: Program): Promise<boolean> {
  process.stdout.write(`${title}\n`);
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { cwd, env: { ...process.env, ...env }, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code === 0));
  });
}

const cargo = await findCargo(root);
const decoder = path.join(root, 'packages/protocol/fuzz/decoder.ts');
const routes = path.join(root, 'packages/daemon/fuzz/main.ts');
const programs: Program[] = [
  {
    title: 'Host',
    argv: [process.execPath, '--disable-warning=ExperimentalWarning', decoder, ...numbers],
    cwd: root,
  },
  {
    title: 'Routes',
    argv: [process.execPath, '--disable-warning=ExperimentalWarning', routes, ...numbers],
    cwd: root,
  },
  {
    ...cargo,
    title: 'Guest',
    argv: [...cargo.argv, 'run', '--quiet', '--locked', '--package', 'viv-fuzz', '--', ...numbers],
  },
];
let failed = false;
for (const program of programs) failed = !(await succeeds(program)) || failed;
process.exitCode = failed ? 1 : 0;
