import { type InstanceLimits, parseSize, type UpdateOptions, VivError } from '@vivarium/model';
import { applyLimits, wantedLimits } from '../limits/apply.ts';
import { checkLimits, mergeLimits } from '../limits/check.ts';
import { checkService, defined, expiryOf, refuseWithAutoRemove, resolveService } from '../service/options.ts';
import { checkPolicy, checkWake } from '../standby/policy.ts';
import type { InstanceRecord, InstanceSpec } from '../store/record.ts';
import { changeRecord, type RecordChange } from './change-record.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { checkName } from './names.ts';
import { judgeGrowth } from './resize.ts';
import { checkEnv, limits } from './resolve.ts';

type Given<K extends keyof UpdateOptions> = NonNullable<UpdateOptions[K]> | Extract<UpdateOptions[K], null>;

interface About {
  context: Context;
  instance: Instance;
  now: number;
  /** It has a VMM. */
  live: boolean;
  /** Bytes of the file system that the disks are on. */
  capacity: number;
}

/** The record with the field changed. @throws VivError where it can't be: nothing at all is changed then. */
type Change<K extends keyof UpdateOptions> = (
  record: InstanceRecord,
  value: Given<K>,
  about: About,
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

/** Everything that can be changed: in any state, but for the disk. */
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
  autoStandby: (record, policy) => withSpec(record, { autoStandby: policy ?? undefined }),
  wake: (record, wake) => withSpec(record, { wake }),
  limits: (record, more, { context, instance }) => {
    const after = withSpec(record, { limits: mergeLimits(record.spec.limits, more) });
    context.admission.judgeChange(instance, after.spec);
    return after;
  },
  disk: (record, size, { context, instance, capacity }) => {
    const diskBytes = parseSize(size, 'disk size');
    judgeGrowth(context, instance, diskBytes);
    if (diskBytes === record.spec.diskBytes) return record;
    context.admission.judgeDisk(diskBytes, capacity, instance);
    return withSpec(record, { diskBytes });
  },
  name: (record, name) => (name === record.name ? record : { ...record, name }),
};

/** What can be judged without the instance. @throws VivError `invalid_request`, `invalid_name`, `not_supported`. */
function checkUpdate({ driver, clock }: Context, options: UpdateOptions): void {
  const { ttlMs, expiresAt, autostart, autoStandby, wake, limits: more, name, ...rest } = options;
  expiryOf({ ttlMs, expiresAt }, clock.now());
  checkService({ ...rest, autostart: autostart ?? undefined });
  if (autoStandby) checkPolicy(autoStandby);
  if (autoStandby?.enabled && !driver.capabilities().save)
    throw new VivError('not_supported', `The ${driver.name} driver can't suspend VMs`);
  if (wake !== undefined) checkWake(wake);
  if (more !== undefined) checkLimits(more);
  if (name !== undefined) checkName(name);
}

/**
 * Changes what is asked for, all of it or nothing, in one operation: `rename` or `resize` where that is all, `update` otherwise.
 *
 * @throws VivError `invalid_request`, `invalid_name`, `invalid_size`, `invalid_state`, `name_conflict`, `insufficient_resources`,
 *   `not_supported`, `busy`.
 */
export async function updateInstance(
  context: Context,
  instance: Instance,
  options: UpdateOptions,
): Promise<void> {
  checkUpdate(context, options);
  const asked = (Object.keys(updatable) as (keyof UpdateOptions)[]).filter(
    (key) => options[key] !== undefined,
  );
  const [first, ...others] = asked;
  if (first === undefined) return;
  const only = others.length === 0 ? first : undefined;
  const capacity = options.disk === undefined ? 0 : await context.admission.diskCapacity();
  let limited: InstanceLimits = {};
  const judge = () => {
    limited = wantedLimits(context, instance);
    return changeOf(context, instance, { options, asked, capacity });
  };
  await changeRecord(
    context,
    instance,
    judge,
    only === 'name' ? 'rename' : only === 'disk' ? 'resize' : 'update',
  );
  const { machine } = instance;
  if (options.limits !== undefined && machine !== undefined)
    await applyLimits(context, instance, machine, limited);
  if (options.autoStandby !== undefined || options.wake !== undefined) context.standby.changed(instance);
  context.service.look(instance);
}

/** Undefined where nothing is other than it was asked to be. */
function changeOf(
  context: Context,
  instance: Instance,
  {
    options,
    asked,
    capacity,
  }: { options: UpdateOptions; asked: readonly (keyof UpdateOptions)[]; capacity: number },
): RecordChange | undefined {
  const { record, machine } = instance;
  const about = { context, instance, now: context.clock.now(), live: machine !== undefined, capacity };
  const fields: (keyof UpdateOptions)[] = [];
  const after = asked.reduce((before, key) => {
    const change = updatable[key] as Change<typeof key>;
    const next = change(before, options[key] as never, about);
    if (next !== before && key !== 'name') fields.push(key);
    return next;
  }, record);
  if (after === record) return undefined;
  const { name, spec, expiresAt, restart, pendingChanges } = after;
  const changed = Object.entries({ name, spec, expiresAt, restart, pendingChanges }).filter(
    ([key, value]) => value !== record[key as keyof InstanceRecord],
  );
  return { next: Object.fromEntries(changed), fields };
}
