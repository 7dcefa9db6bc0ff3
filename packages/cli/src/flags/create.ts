import { type CreateOptions, parseSize } from '@vivarium/model';
import type { Command } from 'commander';
import { repeat } from '../command.ts';
import { parseEnvironment } from './environment.ts';
import { type LimitFlags, limitOptions, parseLimits } from './limits.ts';
import { parsePorts } from './ports.ts';
import {
  type AutostartFlags,
  autostartOptions,
  healthOptions,
  parseAutostart,
  parseLifetime,
  parseService,
  restartOptions,
  type ServiceFlags,
} from './service.ts';
import { parseChoice, parseCount, parseDuration, parseTags } from './values.ts';
import { parseVolume } from './volumes.ts';

/** What commander makes of the options that `run` and `create` share. */
export interface CreateFlags extends ServiceFlags, AutostartFlags, LimitFlags {
  ttl?: string;
  name?: string;
  interactive?: boolean;
  tty?: boolean;
  env?: string[];
  envFile?: string[];
  publish?: string[];
  volume?: string[];
  cpus?: string;
  memory?: string;
  disk?: string;
  user?: string;
  workdir?: string;
  hostname?: string;
  entrypoint?: string;
  label?: string[];
  tag?: string[];
  network?: string;
  pull?: string;
  stopTimeout?: string;
  rm?: boolean;
  autoStandby?: string;
  wake?: string;
}

/** Declares the options that make an instance. */
export function createOptions(command: Command): void {
  command.option('--name <name>', 'name of the VM (default: two words and a number)');
  machineOptions(command);
  command.option('--rm', 'delete the VM once it has stopped');
  restartOptions(command);
  command.option(
    '--ttl <time>',
    'delete it after this long (90s, 2h, 7d) or at an RFC 3339 time, running or not',
  );
  autostartOptions(command);
}

/** Those that say what it is, and not who: many may be made with them. */
export function machineOptions(command: Command): void {
  limitOptions(command)
    .option('-i, --interactive', "keep the command's stdin open")
    .option('-t, --tty', 'give the command a terminal')
    .option('-e, --env <name=value>', 'set an environment variable; NAME alone passes yours on', repeat)
    .option('--env-file <file>', 'read environment variables from a file', repeat)
    .option(
      '-p, --publish <[[address:]host:]guest>',
      'publish a port of the VM on this host (127.0.0.1)',
      repeat,
    )
    .option(
      '-v, --volume <name:/path[:ro|:overlay]>',
      'attach a volume; ro: to read, overlay: with a private layer (default: to write)',
      repeat,
    )
    .option('--cpus <n>', 'vCPUs (default: 1)')
    .option('-m, --memory <size>', 'memory (default: 256MB)')
    .option('--disk <size>', 'size of the writable disk, sparse (default: 10GB)')
    .option('-u, --user <user[:group]>', 'run as this user of the image')
    .option('-w, --workdir <directory>', 'working directory in the VM')
    .option('--hostname <name>', 'host name in the VM (default: its name)')
    .option('--entrypoint <command>', "replace the image's entrypoint; empty removes it")
    .option('-l, --label <key=value>', 'tag the VM', repeat)
    .option('--tag <key=value>', 'the same as --label', repeat)
    .option(
      '--network <user|none>',
      'user: outgoing connections and published ports; none: no card (default: user)',
    )
    .option('--pull <missing|always|never>', 'when to ask the registry (default: missing)')
    .option('--stop-timeout <seconds>', 'how long a stop waits for the guest (default: 5)')
    .option('--auto-standby <duration>', 'suspend it once nobody has used it for so long')
    .option('--wake <standby|always|never>', 'what use wakes (default: standby)');
  healthOptions(command);
}

/** The options as the engine takes them; only what was said is set, so that defaults stay the engine's. */
export function parseCreate(
  flags: CreateFlags,
  image: string,
  words: readonly string[],
  outer: NodeJS.ProcessEnv = process.env,
): CreateOptions {
  const env = parseEnvironment(flags.env ?? [], flags.envFile ?? [], outer);
  const tags = parseTags([...(flags.label ?? []), ...(flags.tag ?? [])], '--label');
  const ports = (flags.publish ?? []).flatMap(parsePorts);
  const options: CreateOptions = {
    image,
    name: flags.name,
    cpus: flags.cpus === undefined ? undefined : parseCount(flags.cpus, '--cpus', 1),
    memory: flags.memory === undefined ? undefined : parseSize(flags.memory, 'memory size'),
    disk: flags.disk === undefined ? undefined : parseSize(flags.disk, 'disk size'),
    env: Object.keys(env).length === 0 ? undefined : env,
    cmd: words.length === 0 ? undefined : [...words],
    entrypoint:
      flags.entrypoint === undefined ? undefined : flags.entrypoint === '' ? [] : [flags.entrypoint],
    user: flags.user,
    cwd: flags.workdir,
    hostname: flags.hostname,
    tags: Object.keys(tags).length === 0 ? undefined : tags,
    ports: ports.length === 0 ? undefined : ports,
    volumes: flags.volume === undefined ? undefined : flags.volume.map(parseVolume),
    network:
      flags.network === undefined
        ? undefined
        : parseChoice(flags.network, '--network', ['user', 'none'] as const),
    pull:
      flags.pull === undefined
        ? undefined
        : parseChoice(flags.pull, '--pull', ['missing', 'always', 'never'] as const),
    stopTimeoutMs:
      flags.stopTimeout === undefined ? undefined : parseDuration(flags.stopTimeout, '--stop-timeout'),
    stdin: flags.interactive ? 'open' : undefined,
    autoRemove: flags.rm ? true : undefined,
    limits: parseLimits(flags),
    autoStandby:
      flags.autoStandby === undefined
        ? undefined
        : { enabled: true, idleTimeoutMs: parseDuration(flags.autoStandby, '--auto-standby') },
    wake:
      flags.wake === undefined
        ? undefined
        : parseChoice(flags.wake, '--wake', ['standby', 'always', 'never'] as const),
    ...parseService(flags),
    ...(flags.ttl === undefined ? {} : parseLifetime(flags.ttl)),
    autostart: parseAutostart(flags),
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as CreateOptions;
}
