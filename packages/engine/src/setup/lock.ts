import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { SetupError } from './command.ts';

/** Runs util-linux's `flock` on a descriptor of ours: the lock belongs to the open file, so it stays when flock has ended. */
async function flock(fd: number, ...flags: string[]): Promise<boolean> {
  const child = spawn('flock', [...flags, '3'], { stdio: ['ignore', 'ignore', 'inherit', fd] });
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new SetupError('flock (util-linux) could not be run', { exitStatus: 69, cause })),
    );
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Does `work` while no other process does work under the same lock file. The kernel frees the lock if we die. */
export async function underLock<T>(file: string, waiting: () => void, work: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  await using handle = await open(file, 'a');
  if (!(await flock(handle.fd, '--nonblock'))) {
    waiting();
    if (!(await flock(handle.fd))) throw new SetupError(`${file} could not be locked`);
  }
  return await work();
}
