/*
 * Runs the examples, or those whose names contain an argument, and compares what each prints with the comment at its end, where … stands
 * for anything. `npm run examples` in the checkout, and here after `npm install`.
 */
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const dir = import.meta.dirname;

/** Milliseconds that an example may take. */
const limitMs = 180_000;

async function outputOf(
  file: string,
  env: NodeJS.ProcessEnv,
): Promise<{ said: string; status: number | null }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(dir, file)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: limitMs,
    env,
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('close', resolve);
  return { status: await promise, said };
}

/** What the comment at the end of a source says that it prints. */
export async function expected(file: string): Promise<string> {
  const source = await readFile(path.join(dir, file), 'utf8');
  const found = /\/\* prints:\n([\s\S]*)\*\/\s*$/.exec(source)?.[1];
  if (found === undefined) throw new Error(`${file} does not say what it prints`);
  return found;
}

export async function examples(part = ''): Promise<string[]> {
  const files = await readdir(dir);
  return files.filter((file) => /^\d\d-.*\.ts$/.test(file) && file.includes(part)).sort();
}

export async function passes(file: string, env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  const wanted = await expected(file);
  const pattern = wanted
    .split('…')
    .map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  const { status, said } = await outputOf(file, env);
  const right = status === 0 && new RegExp(`^${pattern}$`).test(said);
  process.stdout.write(`${right ? '✓' : '✗'} ${file}\n`);
  if (!right) process.stdout.write(`status ${status}, printed:\n${said}instead of:\n${wanted}`);
  return right;
}

if (import.meta.main) {
  const chosen = await examples(process.argv[2]);
  let failed = 0;
  for (const file of chosen) if (!(await passes(file))) failed++;
  process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
  process.exitCode = failed > 0 || chosen.length === 0 ? 1 : 0;
}
