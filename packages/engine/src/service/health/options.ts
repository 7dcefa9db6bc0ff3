import { type HealthCheck, VivError } from '@vivarium/model';
import { defined, within } from '../options.ts';

const healthDefaults = {
  intervalMs: 10_000,
  timeoutMs: 2000,
  startPeriodMs: 30_000,
  failureThreshold: 3,
  successThreshold: 1,
} as const;

/** As it is kept: a check that does something, every default filled in. */
export type ResolvedHealthCheck = HealthCheck & Record<keyof typeof healthDefaults, number>;

const day = 86_400_000;

/** @throws VivError `invalid_request`. */
export function checkHealth(check: HealthCheck): void {
  const { type } = check;
  if (!['none', 'http', 'tcp', 'exec'].includes(type)) {
    throw new VivError('invalid_request', `Not a kind of health check: ${JSON.stringify(type)}`, {
      hint: 'One of none, http, tcp, exec.',
    });
  }
  within('interval in ms', check.intervalMs, 100, day);
  within('time-out in ms', check.timeoutMs, 1, day);
  within('start period in ms', check.startPeriodMs, 0, day);
  within('failure threshold', check.failureThreshold, 1, 1000);
  within('success threshold', check.successThreshold, 1, 1000);
  if (type === 'none') return;
  if (check[type] === undefined) {
    throw new VivError('invalid_request', `A health check of type ${type} needs its ${type}`);
  }
  const { http, tcp, exec } = check;
  if (type === 'http') {
    within('port', http?.port ?? 0, 1, 65535);
    within('status', http?.expectedStatus, 100, 599);
    if (!['http', 'https', undefined].includes(http?.scheme))
      throw new VivError('invalid_request', `Not a scheme: ${JSON.stringify(http?.scheme)}`);
    // It becomes the first line of a request.
    if (http?.path !== undefined && !/^\/[!-~]*$/.test(http.path))
      throw new VivError('invalid_request', `Not a path to ask for: ${JSON.stringify(http.path)}`);
  }
  if (type === 'tcp') within('port', tcp?.port ?? 0, 1, 65535);
  if (type === 'exec' && (!exec?.command[0] || exec.command.some((word) => word.includes('\0'))))
    throw new VivError('invalid_request', 'A health check needs a command');
}

/** Only what its type looks at. */
export function resolveHealth(check: HealthCheck): ResolvedHealthCheck {
  const { http, tcp, exec, ...rest } = check;
  const settings = { ...healthDefaults, ...defined(rest) };
  if (check.type === 'http')
    return { ...settings, http: { port: 0, path: '/', scheme: 'http', ...defined(http ?? {}) } };
  if (check.type === 'tcp') return { ...settings, tcp };
  return { ...settings, exec };
}
