import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { processesOf } from './leaks.ts';

test('a process is found by its environment, its directory or its arguments, and others are not', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'leaks-'));
  const children: ChildProcess[] = [];
  t.after(async () => {
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await rm(dir, { recursive: true });
  });
  const mark = 'VIV_LEAK_TEST=this one';
  const start = async (
    argv: string[],
    options: { env?: NodeJS.ProcessEnv; cwd?: string },
  ): Promise<number> => {
    // It says when it runs as itself: before that it is still a copy of us.
    const child = spawn('sh', ['-c', `echo up; exec ${argv.join(' ')}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
      ...options,
    });
    children.push(child);
    await once(child.stdout, 'data');
    return child.pid ?? assert.fail('not started');
  };
  const wanted = [
    await start(['sleep', '60'], { env: { PATH: process.env.PATH, VIV_LEAK_TEST: 'this one' } }),
    await start(['sleep', '60'], { cwd: dir }),
    await start(['tail', '-f', '/dev/null', '--', `${dir}/../../dev/null`], {}),
  ];
  const other = await start(['sleep', '60'], {
    env: { PATH: process.env.PATH, VIV_LEAK_TEST: 'this one not' },
  });
  const found = (await processesOf(mark, dir)).map(({ pid }) => pid);
  assert.deepEqual(found.sort(), wanted.sort());
  assert(!found.includes(other));
});
