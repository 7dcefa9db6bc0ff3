import type { InstanceInfo, PublishedPort } from '@vivarium/model';
import type { Column } from './table.ts';
import { ageOf, formatAge } from './time.ts';

/** `docker.io/library/busybox:latest` as people write it: `busybox`. */
export function shortReference(reference: string): string {
  const short = reference.replace(/^docker\.io\/(library\/)?/, '');
  return short.includes('@')
    ? short.replace(/@sha256:([0-9a-f]{12})[0-9a-f]*/, '@$1')
    : short.replace(/:latest$/, '');
}

export function formatPort({ hostAddress, hostPort, guestPort }: PublishedPort): string {
  const address = hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress;
  return `${address}:${hostPort}->${guestPort}`;
}

/** State with what makes it understandable: since when, the exit code, the operation under way. */
export function formatStatus(info: InstanceInfo, now = Date.now()): string {
  const { state, operation, exit, startedAt, stoppedAt, suspendedAt } = info;
  if (operation !== undefined)
    return `${state} (${operation.action}${operation.step ? `: ${operation.step}` : ''})`;
  if (state === 'Running' || state === 'Paused') {
    const since = startedAt === undefined ? state : `${state} ${ageOf(startedAt, now)}`;
    return `${since}${healthOf(info)}${expiryOf(info, now)}`;
  }
  if (state === 'Suspended' && suspendedAt !== undefined) return `Suspended ${ageOf(suspendedAt, now)}`;
  if (state === 'Stopped' && exit !== undefined) {
    const how = exit.code === undefined ? exit.reason : `exit ${exit.code}`;
    return `Stopped (${how}) ${ageOf(stoppedAt ?? exit.at, now)} ago${restartOf(info, now)}${expiryOf(info, now)}`;
  }
  if ((state === 'Error' || state === 'Unknown') && info.stateError !== undefined) {
    return `${state}: ${info.stateError.message}`;
  }
  return state;
}

const healthOf = ({ health }: InstanceInfo): string =>
  health === undefined || health.status === 'unknown' ? '' : ` (${health.status})`;

/** What its policy is about to do, or why it does nothing any more. */
function restartOf({ restart, restartPolicy }: InstanceInfo, now: number): string {
  if (restart?.blockedReason === 'max_attempts_exceeded')
    return `, gave up after ${restart.attempts} restarts`;
  if (restart?.nextAttemptAt === undefined) return '';
  const { maxAttempts = 0 } = restartPolicy ?? {};
  const number = `${restart.attempts + 1}${maxAttempts > 0 ? ` of ${maxAttempts}` : ''}`;
  return `, restart ${number} in ${formatAge(Date.parse(restart.nextAttemptAt) - now)}`;
}

const expiryOf = ({ expiresAt }: InstanceInfo, now: number): string =>
  expiresAt === undefined ? '' : `, expires in ${formatAge(Date.parse(expiresAt) - now)}`;

const colours: Partial<Record<InstanceInfo['state'], 'green' | 'yellow' | 'red' | 'dim'>> = {
  Running: 'green',
  Paused: 'yellow',
  Suspended: 'yellow',
  Stopped: 'dim',
  Defined: 'dim',
  Error: 'red',
  Unknown: 'red',
};

/** The columns of `ps` and `ls`. */
export function instanceColumns(now = Date.now()): Column<InstanceInfo>[] {
  return [
    { title: 'NAME', value: ({ name }) => name },
    { title: 'IMAGE', value: ({ image }) => shortReference(image.reference), shrinks: true },
    {
      title: 'STATUS',
      value: (info) => formatStatus(info, now),
      colour: ({ state }) => colours[state],
      shrinks: true,
    },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
    { title: 'PORTS', value: ({ ports }) => ports.map(formatPort).join(', '), shrinks: true },
    { title: 'COMMAND', value: ({ command }) => command.join(' '), shrinks: true },
  ];
}
