import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const main = path.join(import.meta.dirname, '../main.ts');

/** `vivd` with simulated VMs as a process of its own. */
export interface DaemonProgram {
  readonly child: ChildProcess;
  readonly socket: string;
  /** Ends it, and waits for that. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Resolves when it is ready; rejects with what it said when it ends before. */
export async function startProgram(home: string, ...options: string[]): Promise<DaemonProgram> {
  const child = spawn(process.execPath, [main, '--home', home, '--driver', 'simulated', ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout as never, 'data'),
    exited.then(() => {
      throw new Error(said);
    }),
  ]);
  return {
    child,
    socket: path.join(home, 'vivd.sock'),
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}
