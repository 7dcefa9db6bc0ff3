import { closeSync, mkdirSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { daemonSocket, dataDir, VivError } from '@vivarium/model';

/** What a starter reads from the descriptor named by `VIVD_READY_FD`: one line of this, then end of file. */
type Ready = { ready: { socket: string; pid: number } } | { error: unknown };

const usage = `vivd [--home DIR] [--driver qemu|simulated] [--listen HOST:PORT]

  --home DIR      data directory (default: $VIV_HOME, /var/lib/vivarium for root, XDG's for others)
  --driver NAME   qemu (default), or simulated: VMs that exist in memory only
  --listen H:P    also on TCP; every request then needs the token in $VIVD_TOKEN
`;

function options(): {
  home: string;
  driver: 'qemu' | 'simulated';
  tcp?: { host: string; port: number; token: string };
} {
  const { values } = parseArgs({
    options: {
      home: { type: 'string' },
      driver: { type: 'string', default: 'qemu' },
      listen: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const { driver, listen } = values;
  if (driver !== 'qemu' && driver !== 'simulated') {
    throw new VivError('invalid_request', `There is no driver ${driver}`, {
      hint: 'Known are qemu and simulated.',
    });
  }
  const home = values.home === undefined ? dataDir() : path.resolve(values.home);
  if (listen === undefined) return { home, driver };
  const at = /^(.+):(\d{1,5})$/.exec(listen);
  const token = process.env.VIVD_TOKEN;
  if (at === null) throw new VivError('invalid_request', `${listen} is not HOST:PORT`);
  if (!token)
    throw new VivError('invalid_request', 'Listening on TCP needs a token', { hint: 'Set VIVD_TOKEN.' });
  return { home, driver, tcp: { host: at[1] ?? '', port: Number(at[2]), token } };
}

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
  const { home, driver, tcp } = options();
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
  const daemon = await serve(engine, { log, tcp }).catch(async (error: unknown) => {
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
