import { closeSync, mkdirSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import path from 'node:path';
import { daemonSocket, VivError } from '@vivarium/model';
import { parseOptions } from './options.ts';

/** What a starter reads from the descriptor named by `VIVD_READY_FD`: one line of this, then end of file. */
type Ready = { ready: { socket: string; pid: number } } | { error: unknown };

function announce(ready: Ready): void {
  const fd = Number(process.env.VIVD_READY_FD);
  const line = `${JSON.stringify(ready)}\n`;
  if (!Number.isInteger(fd) || fd < 3) {
    if ('ready' in ready) process.stdout.write(line);
    return;
  }
  try {
    writeSync(fd, line);
    closeSync(fd);
  } catch {
    // The starter has not waited; whoever comes next finds the socket.
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), process.env);
  if ('help' in options) {
    process.stdout.write(options.help);
    return;
  }
  const { home, driver, ...door } = options;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  daemonSocket(home);
  enableCompileCache(path.join(home, 'cache', 'node'));
  const [{ openEngine }, { serve }, { DaemonLog }] = await Promise.all([
    import('@vivarium/engine'),
    import('./serve.ts'),
    import('./log.ts'),
  ]);
  const engine = await openEngine({
    home,
    driver,
    mode: 'daemon',
    program: 'vivd',
    // Set by `viv doctor --rebuild`, for a daemon that can't start because its database is damaged.
    rebuild: process.env.VIV_REBUILD === '1',
  });
  const log = new DaemonLog(path.join(home, 'vivd.log'));
  const daemon = await serve(engine, { log, ...door }).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });
  const pidFile = path.join(home, 'vivd.pid');
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  log.info('ready', { pid: process.pid, socket: daemon.socket, url: daemon.url, driver });

  const stop = async (why: string) => {
    log.info('going', { why });
    await daemon.close();
    await engine.close();
    unlinkSync(pidFile);
    log.info('gone');
    process.exit(0);
  };
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      stop(signal).catch((error: unknown) => {
        log.error('could not go in order', error);
        process.exit(1);
      });
    });
  }
  // The starter's terminal may end; the daemon is not its.
  process.on('SIGHUP', () => undefined);
  // A defect in one request must not take the VMs' only door with it; it is written down with all there is to know.
  process.on('unhandledRejection', (error) => log.error('unhandled rejection', error));
  process.on('uncaughtException', (error) => log.error('uncaught exception', error));
  announce({ ready: { socket: daemon.socket, pid: process.pid } });
}

try {
  await main();
} catch (thrown) {
  const error = VivError.from(thrown);
  announce({ error: error.toJSON() });
  const hint = error.hint === undefined ? '' : `\n${error.hint}`;
  process.stderr.write(
    `vivd: ${error.message}${hint}\n${error.code === 'internal' ? `${error.stack}\n` : ''}`,
  );
  process.exit(error.rule.exit);
}
