import { type UpdateOptions, VivError } from '@vivarium/model';
import { type Changeable, changeRecord } from '../instances/change-record.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { checkEnv, limits } from '../instances/resolve.ts';
import type { InstanceRecord, InstanceSpec } from '../store/record.ts';
import { checkService, defined, expiryOf, refuseWithAutoRemove, resolveService } from './options.ts';

type Given<K extends keyof UpdateOptions> = NonNullable<UpdateOptions[K]> | Extract<UpdateOptions[K], null>;

/** The record with the field changed. @throws VivError where it can't be: nothing at all is changed then. */
type Change<K extends keyof UpdateOptions> = (
  record: InstanceRecord,
  value: Given<K>,
  about: { now: number; live: boolean },
) => InstanceRecord;

const withSpec = (record: InstanceRecord, spec: Partial<InstanceSpec>): InstanceRecord => ({
  ...record,
  spec: { ...record.spec, ...spec },
});

function atNextStart(record: InstanceRecord, what: 'env' | 'logs', live: boolean): InstanceRecord {
  if (!live) return record;
  return { ...record, pendingChanges: [...new Set([...(record.pendingChanges ?? []), what])] };
}

/** Null removes. */
function merged(
  before: Record<string, string>,
  change: Record<string, string | null>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries({ ...before, ...change }).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

const expiry =
  (options: Pick<UpdateOptions, 'ttlMs' | 'expiresAt'>) => (record: InstanceRecord, now: number) => {
    if (record.expiresAt !== undefined && Date.parse(record.expiresAt) <= now) {
      throw new VivError('invalid_state', `${record.name} has expired, and is being deleted`);
    }
    return { ...record, expiresAt: expiryOf(options, now) };
  };

/** Everything that can be changed in any state. */
const updatable: { [K in keyof UpdateOptions]-?: Change<K> } = {
  env: (record, env, { live }) => {
    checkEnv(env);
    return atNextStart(withSpec(record, { env: merged(record.spec.env, env) }), 'env', live);
  },
  tags: (record, tags) => {
    const all = merged(record.spec.tags, tags);
    if (Object.keys(all).length > limits.tags)
      throw new VivError('invalid_request', `More than ${limits.tags} tags`);
    return withSpec(record, { tags: all });
  },
  ttlMs: (record, ttlMs, { now }) => expiry({ ttlMs })(record, now),
  expiresAt: (record, expiresAt, { now }) => expiry({ expiresAt })(record, now),
  healthCheck: (record, healthCheck) =>
    withSpec(record, { healthCheck: resolveService({ healthCheck }).healthCheck }),
  restartPolicy: (record, given) => {
    // What is not said stays as it was.
    const before = record.spec.restartPolicy;
    const { restartPolicy } = resolveService({ restartPolicy: { ...before, ...defined(given) } });
    if (record.spec.autoRemove) refuseWithAutoRemove({ restartPolicy });
    const { restart } = record;
    const { blockedReason, nextAttemptAt: _, ...rest } = restart ?? { attempts: 0 };
    // Another limit is another chance; a stop by somebody is no matter of the policy.
    const kept = blockedReason === 'manual_stop' ? { ...rest, blockedReason } : undefined;
    return { ...withSpec(record, { restartPolicy }), restart: restart && kept };
  },
  autostart: (record, autostart) => {
    if (autostart !== null && record.spec.autoRemove) refuseWithAutoRemove({ autostart });
    const { restart, spec } = record;
    const after = withSpec(record, {
      autostart: resolveService({ autostart: autostart ?? undefined }).autostart,
    });
    if (autostart !== null || restart === undefined || spec.restartPolicy !== undefined) return after;
    // Nobody is left who wants it started.
    return { ...after, restart: { ...restart, nextAttemptAt: undefined } };
  },
  logs: (record, logs, { live }) =>
    atNextStart(
      withSpec(record, { logs: resolveService({ logs: { ...record.spec.logs, ...defined(logs) } }).logs }),
      'logs',
      live,
    ),
};

/** Changes what is asked for, all of it or nothing. @throws VivError `invalid_request`, `invalid_state`, `busy`. */
export async function updateInstance(
  context: Context,
  instance: Instance,
  options: UpdateOptions,
): Promise<void> {
  const { ttlMs, expiresAt, autostart, ...rest } = options;
  expiryOf({ ttlMs, expiresAt }, context.clock.now());
  checkService({ ...rest, autostart: autostart ?? undefined });
  const asked = (Object.keys(updatable) as (keyof UpdateOptions)[]).filter(
    (key) => options[key] !== undefined,
  );
  if (asked.length === 0) return;
  await changeRecord(context, instance, asked, () => changed(context, instance, options, asked));
  context.service.look(instance);
}

function changed(
  { clock }: Context,
  { record, machine }: Instance,
  options: UpdateOptions,
  asked: readonly (keyof UpdateOptions)[],
): Partial<Changeable> {
  const about = { now: clock.now(), live: machine !== undefined };
  const { spec, expiresAt, restart, pendingChanges } = asked.reduce((before, key) => {
    const change = updatable[key] as Change<typeof key>;
    return change(before, options[key] as never, about);
  }, record);
  return { spec, expiresAt, restart, pendingChanges };
}
