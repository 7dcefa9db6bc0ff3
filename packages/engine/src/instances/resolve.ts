import { type CreateOptions, type PortRequest, parseSize, VivError } from '@vivarium/model';
import type { StoredImage } from '../images/store.ts';
import { checkLimits, mergeLimits } from '../limits/check.ts';
import { checkService, resolveService } from '../service/options.ts';
import { checkPolicy, checkWake } from '../standby/policy.ts';
import type { InstanceSpec } from '../store/record.ts';
import { checkMounts } from '../volumes/rules.ts';
import { checkCommand, commandLine, commandParts } from './command.ts';
import { checkName } from './names.ts';
import { checkStopTimeout } from './times.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

/** What an instance is given where nothing is asked for. */
export const defaults = {
  cpus: 1,
  memoryBytes: 256 * MiB,
  diskBytes: 10 * GiB,
  stopTimeoutMs: 5000,
} as const;

/** Bounds. The least memory is what Debian's cloud kernel, the agent and a shell were seen to need, with room. */
export const limits = {
  memoryBytes: { least: 96 * MiB },
  diskBytes: { least: 64 * MiB, most: 16 * 1024 * GiB },
  tags: 50,
} as const;

/** The parts that can be judged before the image is there. */
export function checkOptions(
  options: CreateOptions,
  host: { memoryBytes: number; maxCpus: number; diskBytes?: number },
): void {
  if (options.name !== undefined) checkName(options.name);
  const cpus = options.cpus ?? defaults.cpus;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > host.maxCpus) {
    throw new VivError('invalid_request', `Not a number of vCPUs: ${cpus}`, {
      hint: `1 to ${host.maxCpus} on this host.`,
    });
  }
  sizeWithin('memory', options.memory, defaults.memoryBytes, {
    ...limits.memoryBytes,
    most: host.memoryBytes,
  });
  sizeWithin('disk', options.disk, defaults.diskBytes, {
    ...limits.diskBytes,
    most: host.diskBytes ?? limits.diskBytes.most,
  });
  checkTags(options.tags);
  checkEnv(options.env ?? {});
  checkCommand(options);
  if (
    options.hostname !== undefined &&
    !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/.test(options.hostname)
  ) {
    throw new VivError('invalid_request', `Not a host name: ${JSON.stringify(options.hostname)}`);
  }
  checkService(options);
  if (options.stopTimeoutMs !== undefined) checkStopTimeout(options.stopTimeoutMs);
  if (options.autoStandby !== undefined) checkPolicy(options.autoStandby);
  if (options.wake !== undefined) checkWake(options.wake);
  if (options.limits !== undefined) checkLimits(options.limits);
  for (const port of options.ports ?? []) checkPort(port);
  checkMounts(options.volumes);
  if (options.network === 'none' && (options.ports?.length ?? 0) > 0) {
    throw new VivError('invalid_request', 'Ports cannot be published without a network', {
      hint: 'Leave out network: none, or reach the port through the agent with vm.connect().',
    });
  }
}

export function checkEnv(env: Record<string, unknown>): void {
  for (const key of Object.keys(env)) {
    if (key === '' || key.includes('=') || key.includes('\0')) {
      throw new VivError(
        'invalid_request',
        `Not the name of an environment variable: ${JSON.stringify(key)}`,
      );
    }
  }
}

/** The sizes of a machine, with defaults. @throws VivError `invalid_size`. */
export function sizesOf({ cpus, memory, disk }: Pick<CreateOptions, 'cpus' | 'memory' | 'disk'>): {
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
} {
  return {
    cpus: cpus ?? defaults.cpus,
    memoryBytes: parseSize(memory ?? defaults.memoryBytes, 'memory size'),
    diskBytes: parseSize(disk ?? defaults.diskBytes, 'disk size'),
  };
}

/** Everything filled in, from what was asked, the image's configuration, and the defaults. */
export function resolveSpec(
  options: CreateOptions,
  name: string,
  image: StoredImage,
  reference: string,
): InstanceSpec {
  const { config } = image;
  const asked = mergeLimits(undefined, options.limits ?? {});
  return {
    image: { reference, digest: image.digest },
    ...sizesOf(options),
    env: { ...config.env, ...options.env },
    command: commandLine(commandParts(options, config)),
    user: options.user ?? config.user,
    cwd: options.cwd ?? (config.workingDir || '/'),
    hostname: options.hostname ?? name,
    tags: options.tags ?? {},
    ports: (options.ports ?? []).map((port) => ({
      hostAddress: port.hostAddress ?? '127.0.0.1',
      hostPort: port.hostPort ?? 0,
      guestPort: port.guestPort,
    })),
    network: options.network ?? 'user',
    ...(options.tty === undefined ? {} : { tty: options.tty }),
    stdin: options.stdin ?? (options.cmd === undefined && options.entrypoint === undefined ? 'open' : 'null'),
    attach: options.attach ?? false,
    ...(config.stopSignal === undefined ? {} : { stopSignal: config.stopSignal }),
    stopTimeoutMs: options.stopTimeoutMs ?? defaults.stopTimeoutMs,
    autoRemove: options.autoRemove ?? false,
    detached: options.detached ?? false,
    ...(options.autoStandby === undefined ? {} : { autoStandby: options.autoStandby }),
    ...(options.wake === undefined ? {} : { wake: options.wake }),
    ...(asked === undefined ? {} : { limits: asked }),
    ...commandParts(options, config),
    ...resolveService(options),
  };
}

function sizeWithin(
  what: string,
  asked: number | string | undefined,
  otherwise: number,
  { least, most }: { least: number; most: number },
): void {
  const bytes = parseSize(asked ?? otherwise, `${what} size`);
  if (bytes < least || bytes > most) {
    throw new VivError('invalid_size', `${what} of ${bytes} bytes is out of range`, {
      hint: `From ${Math.ceil(least / MiB)}MB to ${Math.floor(most / MiB)}MB.`,
    });
  }
}

function checkPort(port: PortRequest): void {
  const inRange = (value: number, least: number) =>
    Number.isInteger(value) && value >= least && value <= 65535;
  if (!inRange(port.guestPort, 1) || !inRange(port.hostPort ?? 0, 0)) {
    throw new VivError('invalid_request', `Not a port mapping: ${port.hostPort ?? ''}:${port.guestPort}`, {
      hint: 'Ports are 1 to 65535; a host port of 0 takes a free one.',
    });
  }
}

/** Of an instance, a snapshot or an image. @throws VivError `invalid_request`. */
export function checkTags(tags: Record<string, string> = {}): void {
  if (Object.keys(tags).length > limits.tags)
    throw new VivError('invalid_request', `More than ${limits.tags} tags`);
}
