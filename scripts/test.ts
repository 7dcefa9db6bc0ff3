import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { globSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { mountsBelow, processesOf } from './leaks.ts';
import type { TestCounts } from './test-reporter.ts';

/*
 * The tests: first those without a VM, side by side, then those that boot one, one file at a time. Arguments are parts of file
 * names that choose the files. The run fails where a process, a mount or a file in its temporary directory outlives it.
 */

const root = path.resolve(import.meta.dirname, '..');
const startedAt = performance.now();
const chosen = process.argv.slice(2);
const mark = randomUUID();
// Short, because paths of unix sockets end after 107 bytes.
const temporary = await mkdtemp(path.join(tmpdir(), 'vt-'));
let interrupted = false;
const counts: TestCounts = { passed: 0, failed: 0, skipped: 0 };

function filesOf(...patterns: string[]): string[] {
  const files = globSync(patterns, {
    cwd: root,
    exclude: (name) => name === 'node_modules' || name === '.viv',
  });
  return files.filter((file) => chosen.length === 0 || chosen.some((part) => file.includes(part))).sort();
}

async function runFiles(
  title: string,
  files: readonly string[],
  concurrency: number,
  minutes: number,
): Promise<void> {
  if (files.length === 0 || interrupted) return;
  process.stdout.write(`\n${title}\n`);
  const countsFile = path.join(root, `.viv/tmp/counts-${mark}.json`);
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--test',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${minutes * 60_000}`,
      `--test-reporter=${path.join(root, 'scripts/test-reporter.ts')}`,
      '--test-reporter-destination=stdout',
      ...files,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        TMPDIR: temporary,
        VIV_HOME: path.join(temporary, 'home'),
        VIV_TEST_RUN: mark,
        VIV_TEST_COUNTS: countsFile,
      },
    },
  );
  const stop = (): void => {
    interrupted = true;
    child.kill('SIGTERM');
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (interrupted) return;
  const result = JSON.parse(await readFile(countsFile, 'utf8')) as TestCounts;
  await rm(countsFile);
  counts.passed += result.passed;
  counts.failed += result.failed;
  counts.skipped += result.skipped;
  if (code !== 0 && result.failed === 0) {
    counts.failed += 1;
    process.stdout.write(`✗ the test runner ended with status ${code}\n`);
  }
}

/** Everything of this run that is still there. Processes get a moment to end: their exit is not always waited for. */
async function leftovers(): Promise<string[]> {
  const own = `VIV_TEST_RUN=${mark}`;
  const deadline = performance.now() + 5000;
  let processes = await processesOf(own, temporary);
  while (processes.length > 0 && performance.now() < deadline) {
    await delay(50);
    processes = await processesOf(own, temporary);
  }
  const found = processes.map(({ pid, command }) => `process ${pid}: ${command.slice(0, 160)}`);
  for (const { pid } of processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  found.push(...(await mountsBelow(temporary)).map((point) => `mount ${point}`));
  found.push(...(await readdir(temporary)).map((name) => `file ${path.join(temporary, name)}`));
  return found;
}

await runFiles(
  'Without VMs',
  filesOf('packages/**/*.test.ts', 'scripts/**/*.test.ts').filter((file) => !file.endsWith('.e2e.test.ts')),
  Math.max(2, availableParallelism()),
  5,
);
await runFiles('With VMs', filesOf('packages/**/*.e2e.test.ts', 'e2e/**/*.test.ts'), 1, 6);

const left = await leftovers();
if (left.length === 0) {
  counts.passed += 1;
  await rm(temporary, { recursive: true });
} else {
  counts.failed += 1;
  process.stdout.write(`✗ left behind:\n${left.map((line) => `    ${line}\n`).join('')}`);
}
await writeFile(path.join(root, '.viv/test-counts.json'), JSON.stringify(counts));
const took = Math.round((performance.now() - startedAt) / 1000);
process.stdout.write(`\n${took} s${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}\n`);
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
if (interrupted) process.stdout.write('interrupted\n');
process.exitCode = interrupted ? 130 : counts.failed > 0 || counts.passed <= 1 ? 1 : 0;
