import { spawn } from 'node:child_process';

/** One program that has to end with 0. */
export interface Check {
  title: string;
  argv: readonly string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/** The rest of a long output rarely says anything new. */
const shownLines = 200;

/** Runs a program with its output kept back, and shown where it fails. Answers whether it ended with 0. */
export async function passes(check: Check): Promise<boolean> {
  const startedAt = performance.now();
  const [file = '', ...args] = check.argv;
  const child = spawn(file, args, {
    cwd: check.cwd,
    env: { ...process.env, ...check.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk));
  const code = await new Promise<number | string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (status, signal) => resolve(status ?? signal));
  });
  const took = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${code === 0 ? '✓' : '✗'} ${check.title}  ${took} s\n`);
  if (code !== 0) {
    process.stdout.write(`    ${check.argv.join(' ')} ended with ${code}\n`);
    const lines = Buffer.concat(printed).toString().trimEnd().split('\n');
    for (const line of lines.slice(0, shownLines)) process.stdout.write(`    ${line}\n`);
    if (lines.length > shownLines) process.stdout.write(`    … ${lines.length - shownLines} lines more\n`);
  }
  return code === 0;
}
