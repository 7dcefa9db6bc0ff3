import {
  type Autostart,
  type HealthCheck,
  type LogLimits,
  parseSize,
  type RestartPolicy,
  type ServiceOptions,
  VivError,
} from '@vivarium/model';
import type { Command } from 'commander';
import { parseCount, parseDuration } from './values.ts';

/** What commander makes of the options that say how a VM is kept going. */
export interface ServiceFlags {
  restart?: string;
  restartBackoff?: string;
  restartStableAfter?: string;
  healthCmd?: string;
  healthHttp?: string;
  healthTcp?: string;
  healthInterval?: string;
  healthTimeout?: string;
  healthStartPeriod?: string;
  healthRetries?: string;
  healthSuccesses?: string;
  /** False: `--no-healthcheck`. */
  healthcheck?: boolean;
  logMaxSize?: string;
  logMaxFiles?: string;
}

/** Those of a VM of a pool, too. */
export function healthOptions(command: Command): void {
  command
    .option('--health-cmd <command>', 'healthy while this command, run by sh in the VM, exits with 0')
    .option(
      '--health-http <port[/path]>',
      'healthy while this answers with 200 to 399; https:PORT/PATH for TLS',
    )
    .option('--health-tcp <port>', 'healthy while this port takes connections')
    .option('--health-interval <time>', 'between two checks (default: 10s)')
    .option('--health-timeout <time>', 'how long a check may take (default: 2s)')
    .option('--health-start-period <time>', 'after a start failures do not count (default: 30s)')
    .option('--health-retries <n>', 'failures in a row until it is unhealthy (default: 3)')
    .option('--health-successes <n>', 'successes in a row until it is healthy (default: 1)')
    .option('--log-max-size <size>', 'size of a log at which the next one is begun (default: 10MB)')
    .option('--log-max-files <n>', 'logs that are kept, the current one among them (default: 2)');
}

/** Those of a VM that lasts. */
export function restartOptions(command: Command): void {
  command
    .option(
      '--restart <policy>',
      'no, always, unless-stopped or on-failure[:N]: start it again when it ends, N times in a row (default: no)',
    )
    .option('--restart-backoff <time>', 'before each restart (default: 5s)')
    .option('--restart-stable-after <time>', 'having run for so long it has used no restarts (default: 10m)');
}

/** Docker's words too. What was stopped by hand stays stopped under each of them. */
const policies: Readonly<Record<string, RestartPolicy['policy']>> = {
  no: 'never',
  never: 'never',
  always: 'always',
  'unless-stopped': 'always',
  unless_stopped: 'always',
  'on-failure': 'on_failure',
  on_failure: 'on_failure',
};

function parseRestart(flags: ServiceFlags): RestartPolicy | undefined {
  const { restart, restartBackoff: backoff, restartStableAfter: stable } = flags;
  if (restart === undefined) {
    if (backoff === undefined && stable === undefined) return undefined;
    throw new VivError('invalid_request', '--restart-backoff and --restart-stable-after need --restart.');
  }
  const [, word = '', attempts] = /^([a-z_-]+)(?::(\d{1,6}))?$/.exec(restart) ?? [];
  const policy = Object.hasOwn(policies, word) ? policies[word] : undefined;
  if (policy === undefined || (attempts !== undefined && policy !== 'on_failure')) {
    throw new VivError('invalid_request', `--restart: ${JSON.stringify(restart)} is not a restart policy.`, {
      hint: 'Use no, always, unless-stopped, on-failure, or on-failure:3 for at most three in a row.',
    });
  }
  return {
    policy,
    ...(attempts === undefined ? {} : { maxAttempts: Number(attempts) }),
    ...(backoff === undefined ? {} : { backoffMs: parseDuration(backoff, '--restart-backoff') }),
    ...(stable === undefined ? {} : { stableAfterMs: parseDuration(stable, '--restart-stable-after') }),
  };
}

const probes = {
  healthCmd: (command: string): HealthCheck => ({
    type: 'exec',
    exec: { command: ['sh', '-c', command] },
  }),
  healthHttp: (text: string): HealthCheck => {
    const [, scheme, port, path] = /^(?:(https?):)?(\d{1,5})(\/.*)?$/.exec(text) ?? [];
    if (port === undefined) {
      throw new VivError('invalid_request', `--health-http: ${JSON.stringify(text)} is not PORT[/PATH].`, {
        hint: 'As in 8080/ready, or https:8443/.',
      });
    }
    return {
      type: 'http',
      http: {
        port: Number(port),
        ...(path === undefined ? {} : { path }),
        ...(scheme === 'https' ? { scheme } : {}),
      },
    };
  },
  healthTcp: (port: string): HealthCheck => ({
    type: 'tcp',
    tcp: { port: parseCount(port, '--health-tcp', 1) },
  }),
} as const;

function parseHealth(flags: ServiceFlags): HealthCheck | undefined {
  const kinds = (Object.keys(probes) as (keyof typeof probes)[]).filter((kind) => flags[kind] !== undefined);
  const settings = {
    ...time('intervalMs', flags.healthInterval, '--health-interval'),
    ...time('timeoutMs', flags.healthTimeout, '--health-timeout'),
    ...time('startPeriodMs', flags.healthStartPeriod, '--health-start-period'),
    ...count('failureThreshold', flags.healthRetries, '--health-retries'),
    ...count('successThreshold', flags.healthSuccesses, '--health-successes'),
  };
  const [kind] = kinds;
  if (kinds.length > 1 || (kind !== undefined && flags.healthcheck === false))
    throw new VivError(
      'invalid_request',
      'Only one of --health-cmd, --health-http, --health-tcp and --no-healthcheck.',
    );
  if (flags.healthcheck === false) return { type: 'none' };
  if (kind !== undefined) return { ...probes[kind](flags[kind] ?? ''), ...settings };
  if (Object.keys(settings).length === 0) return undefined;
  throw new VivError('invalid_request', 'A health check needs --health-cmd, --health-http or --health-tcp.');
}

function time(field: string, text: string | undefined, option: string): Record<string, number> {
  return text === undefined ? {} : { [field]: parseDuration(text, option) };
}

function count(field: string, text: string | undefined, option: string): Record<string, number> {
  return text === undefined ? {} : { [field]: parseCount(text, option, 1) };
}

function parseLogs({ logMaxSize, logMaxFiles }: ServiceFlags): LogLimits | undefined {
  if (logMaxSize === undefined && logMaxFiles === undefined) return undefined;
  return {
    ...(logMaxSize === undefined ? {} : { maxBytes: parseSize(logMaxSize, 'log size') }),
    ...(logMaxFiles === undefined ? {} : { keep: parseCount(logMaxFiles, '--log-max-files', 1) - 1 }),
  };
}

/** Only what was said is set. */
export function parseService(
  flags: ServiceFlags,
): Pick<ServiceOptions, 'restartPolicy' | 'healthCheck' | 'logs'> {
  const [restartPolicy, healthCheck, logs] = [parseRestart(flags), parseHealth(flags), parseLogs(flags)];
  return {
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
    ...(healthCheck === undefined ? {} : { healthCheck }),
    ...(logs === undefined ? {} : { logs }),
  };
}

/** `1h`, or an RFC 3339 time; 0: never. */
export function parseLifetime(text: string): Pick<ServiceOptions, 'ttlMs' | 'expiresAt'> {
  return /^\d{4}-/.test(text)
    ? { expiresAt: text }
    : { ttlMs: parseDuration(text, '--ttl', Number.MAX_SAFE_INTEGER) };
}

export interface AutostartFlags {
  autostart?: boolean;
  autostartPriority?: string;
  autostartDelay?: string;
}

export function autostartOptions(command: Command): void {
  command
    .option('--autostart', 'start it again after a reboot of the host, if it ran then')
    .option('--autostart-priority <n>', 'autostart; the highest is started first (default: 0)')
    .option('--autostart-delay <time>', 'autostart; how long the next one waits after it (default: 0)');
}

/** Its priority or its delay asks for it as well. */
export function parseAutostart(flags: AutostartFlags): Autostart | undefined {
  const { autostart, autostartPriority: priority, autostartDelay: delay } = flags;
  if (autostart !== true && priority === undefined && delay === undefined) return undefined;
  if (priority !== undefined && !/^-?\d{1,6}$/.test(priority)) {
    throw new VivError(
      'invalid_request',
      `--autostart-priority: ${JSON.stringify(priority)} is no whole number.`,
    );
  }
  return {
    ...(priority === undefined ? {} : { priority: Number(priority) }),
    ...(delay === undefined ? {} : { delayMs: parseDuration(delay, '--autostart-delay') }),
  };
}
