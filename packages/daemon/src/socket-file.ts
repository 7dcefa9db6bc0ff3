import { chmodSync, lstatSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { VivError } from '@vivarium/model';

/**
 * Connections that may wait to be accepted, as far as the host lets them (`net.core.somaxconn`). Node's 511 are fewer than the clients that
 * come at once after a restart; on a unix socket one too many is refused with EAGAIN.
 */
export const backlog = 4096;

/**
 * Listens on a unix socket that only its owner can open. It appears under its name when it is ready, in the place of
 * one whose owner is gone.
 *
 * @throws VivError `data_dir_locked` where somebody answers there, `conflict` where something else has that name.
 */
export async function listenOn(server: Server, socket: string): Promise<{ release(): void }> {
  await clearStale(socket);
  const fresh = `${socket}.${process.pid}`;
  // The mode must be right from the first moment: bind() happens within listen(), before it returns.
  const umask = process.umask(0o177);
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: fresh, backlog }, () => resolve());
  });
  process.umask(umask);
  await listening;
  chmodSync(fresh, 0o600);
  renameSync(fresh, socket);
  const { ino } = lstatSync(socket);
  return {
    release() {
      // A successor may already have put its own there.
      if (statOf(socket)?.ino === ino) unlinkSync(socket);
    },
  };
}

async function clearStale(socket: string): Promise<void> {
  const stats = statOf(socket);
  if (stats === undefined) return;
  if (!stats.isSocket())
    throw new VivError('conflict', `${socket} exists and is no socket`, { hint: 'Move it away.' });
  if (await answers(socket)) {
    throw new VivError('data_dir_locked', `Another process listens on ${socket}`, {
      hint: 'Stop it, or choose another directory with VIV_HOME.',
    });
  }
  unlinkSync(socket);
}

/** False only where the kernel says that nobody has the other end. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
