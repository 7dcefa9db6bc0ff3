import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import type { ProcessIdentity } from '../driver.ts';
import { eventually, type Stage } from './stage.ts';

/** A queue holds what its owner has asked for, at most `net.core.somaxconn`: 4096. */
const mostCrowded = 5000;

/**
 * Connects until nobody more is let in: a unix socket whose owner does not accept takes only so many. Ends with the test.
 */
export async function crowd(stage: Stage, socketPath: string): Promise<void> {
  for (let count = 0; count < mostCrowded; count++) {
    const socket = connect(socketPath);
    stage.defer(() => void socket.destroy());
    const refused = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (refused?.code === 'EAGAIN') return;
    if (refused !== undefined) throw refused;
  }
  throw new Error(`${socketPath} is never full`);
}

/** A cgroup that can hold a process so that not even SIGKILL ends it; only the first version of cgroups can. */
export class Freezer {
  static readonly root = '/sys/fs/cgroup/freezer';
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async hold(stage: Stage, { pid }: ProcessIdentity): Promise<Freezer> {
    const dir = path.join(Freezer.root, `viv-test-${pid}`);
    await mkdir(dir);
    const freezer = new Freezer(dir);
    stage.defer(() => freezer.#remove(pid));
    await writeFile(path.join(dir, 'cgroup.procs'), String(pid));
    await writeFile(path.join(dir, 'freezer.state'), 'FROZEN');
    await eventually('a frozen process', async () =>
      (await readFile(path.join(dir, 'freezer.state'), 'utf8')).trim() === 'FROZEN' ? true : undefined,
    );
    return freezer;
  }

  async release(): Promise<void> {
    await writeFile(path.join(this.#dir, 'freezer.state'), 'THAWED');
  }

  async #remove(pid: number): Promise<void> {
    await this.release();
    await writeFile(path.join(Freezer.root, 'cgroup.procs'), String(pid)).catch(unless('ESRCH'));
    await eventually('an empty cgroup', () => rmdir(this.#dir).then(() => true, unless('EBUSY')));
  }
}

function unless(code: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code !== code) throw error;
  };
}
