import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { daemonFlags } from '../packages/client/src/autostart.ts';

const program = path.resolve(import.meta.dirname, '../packages/daemon/src/main.ts');

/** A daemon of a data directory, up when this resolves. The VMs of a simulated one are in its own memory. */
export async function startDaemon(
  home: string,
  driver: 'qemu' | 'simulated',
): Promise<AsyncDisposable & { socket: string; pid: number }> {
  const child = spawn(
    process.execPath,
    [...daemonFlags, program, '--home', home, ...(driver === 'simulated' ? ['--driver', driver] : [])],
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
