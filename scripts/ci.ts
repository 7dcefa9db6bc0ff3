import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { findCargo } from './cargo.ts';
import { systemPath } from './setup/system-path.ts';
import { type Check, passes } from './step.ts';
import type { TestCounts } from './test-reporter.ts';

/* Everything a change has to pass, in one go; set-up has been done. Ends with the sum of all. */

const root = path.resolve(import.meta.dirname, '..');
let passed = 0;
let failed = 0;

async function runCheck(check: Check): Promise<void> {
  if (await passes(check)) passed += 1;
  else failed += 1;
}

/** The command that README tells people to run, with its output as they see it. */
async function runTests(): Promise<void> {
  const countsFile = path.join(root, '.viv/test-counts.json');
  await rm(countsFile, { force: true });
  const child = spawn('npm', ['test'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...systemPath() },
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const counts = await readFile(countsFile, 'utf8').then(
    (text) => JSON.parse(text) as TestCounts,
    () => ({ passed: 0, failed: 1 }), // It never came to its end.
  );
  passed += counts.passed;
  failed += counts.failed > 0 || code === 0 ? counts.failed : 1;
}

async function runNative(): Promise<void> {
  const program = await findCargo(root);
  const cargo = (title: string, ...args: string[]): Check => ({
    ...program,
    title,
    argv: [...program.argv, ...args],
  });
  // rustfmt and clippy come with rustup; a distribution's toolchain may lack them.
  for (const tool of ['fmt', 'clippy']) {
    const available = await new Promise<boolean>((resolve) => {
      const child = spawn(program.argv[0], [tool, '--version'], {
        stdio: 'ignore',
        env: { ...process.env, ...program.env },
      });
      child.once('error', () => resolve(false));
      child.once('close', (code) => resolve(code === 0));
    });
    if (!available) {
      process.stdout.write(`- cargo ${tool} is not installed; left out\n`);
    } else if (tool === 'fmt') {
      await runCheck(cargo('Rust format', 'fmt', '--all', '--check'));
    } else {
      await runCheck(
        cargo('Rust lint', 'clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings'),
      );
    }
  }
  await runCheck(cargo('Rust tests', 'test', '--workspace', '--locked'));
  await runCheck(cargo('The agent survives noise', 'run', '--locked', '--package', 'viv-fuzz', '--', '5'));
}

await runTests();
process.stdout.write('\nChecks\n');
await runCheck({
  title: 'Types, lint, format, layers, documents',
  argv: [process.execPath, '--disable-warning=ExperimentalWarning', path.join(root, 'scripts/check.ts')],
});
await runNative();
// What is built on booted memory, in real VMs: that it may be trusted, and that nothing of it has gone badly wrong.
const npm = (...argv: string[]) => ({ argv: ['npm', 'run', ...argv], cwd: root, env: systemPath() });
await runCheck({
  title: 'Suspends and forks of a guest that checks itself',
  ...npm('soak', '--', '--rounds', '10', '--forks', '5'),
});
await runCheck({ title: 'Starts from memory beside their floors', ...npm('bench', '--', 'ratios') });
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
