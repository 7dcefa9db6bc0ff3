import {
  type AskOptions,
  type AutoStandbyPolicy,
  refuseAborted,
  type StandbyStatus,
  type StandbyUse,
  VivError,
  type VmStandby,
  type WakePolicy,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { updateInstance } from '../instances/update.ts';
import { openIn, trafficOf } from './look.ts';

/** Standby of one instance. */
export class EngineVmStandby implements VmStandby {
  readonly #context: Context;
  readonly #instance: Instance;

  constructor(context: Context, instance: Instance) {
    this.#context = context;
    this.#instance = instance;
  }

  async status(options: AskOptions = {}): Promise<StandbyStatus> {
    refuseAborted(options);
    const instance = this.#instance;
    const { spec } = instance.record;
    const policy = spec.autoStandby;
    const watch = this.#context.standby.idle(instance);
    let connections = 0;
    let error = watch.view.error;
    try {
      if (instance.state === 'Running') connections = openIn(await trafficOf(instance), instance);
    } catch (thrown) {
      error = VivError.from(thrown);
    }
    const { requested, found, error: _, ...times } = watch.view;
    const uses = usesOf(instance, found, connections);
    const supported = this.#context.driver.capabilities().save;
    return {
      supported,
      configured: policy !== undefined,
      enabled: policy?.enabled === true,
      eligible: watch.eligible,
      ...judge({
        supported,
        policy,
        instance,
        eligible: watch.eligible,
        requested,
        uses,
        connections,
        error,
        times,
      }),
      connections,
      uses,
      ...times,
      wake: spec.wake ?? 'standby',
      ...(error === undefined ? {} : { error: error.message }),
    };
  }

  async hold(options: AskOptions = {}): Promise<StandbyStatus> {
    refuseAborted(options);
    const { operation, record } = this.#instance;
    if (record.spec.autoStandby?.enabled !== true) return this.status();
    if (operation?.action === 'suspend') {
      if (operation.yields) operation.interrupt('hold');
      await operation.ended;
    }
    const { state } = this.#instance;
    if (state === 'Suspended' || state === 'Restoring') {
      throw new VivError('conflict', `${record.name} is ${state}`, {
        hint: 'Start it first.',
        details: { state },
      });
    }
    this.#context.standby.idle(this.#instance).hold();
    return this.status();
  }

  async set(
    { policy, wake }: { policy?: AutoStandbyPolicy | null; wake?: WakePolicy },
    options: AskOptions = {},
  ): Promise<StandbyStatus> {
    refuseAborted(options);
    await updateInstance(this.#context, this.#instance, { autoStandby: policy, wake });
    return this.status();
  }
}

function usesOf(instance: Instance, found: readonly StandbyUse[], connections: number): StandbyUse[] {
  const { operation, uses } = instance;
  return [
    ...uses.list,
    ...found.filter(({ kind }) => kind !== 'connection'),
    ...(connections > 0 ? [{ kind: 'connection' as const, count: connections }] : []),
    ...(operation === undefined || operation.yields ? [] : [{ kind: 'operation' as const, count: 1 }]),
  ];
}

interface Facts {
  supported: boolean;
  policy: AutoStandbyPolicy | undefined;
  instance: Instance;
  eligible: boolean;
  requested: boolean;
  uses: readonly StandbyUse[];
  connections: number;
  error: VivError | undefined;
  times: { nextStandbyAt?: string };
}

/** The first that holds. */
function judge(facts: Facts): Pick<StandbyStatus, 'status' | 'reason'> {
  const { supported, policy, eligible, requested, uses, connections, error } = facts;
  const verdicts: [boolean, StandbyStatus['status'], StandbyStatus['reason']][] = [
    [!supported, 'unsupported', 'unsupported_platform'],
    [policy === undefined, 'disabled', 'policy_missing'],
    [policy?.enabled !== true, 'disabled', 'policy_disabled'],
    [requested, 'standby_requested', 'ready_for_standby'],
    [!eligible, 'ineligible', 'instance_not_running'],
    [error !== undefined, 'error', 'observer_error'],
    [connections > 0, 'active', 'active_inbound_connections'],
    [uses.length > 0, 'active', 'idle_timeout_not_elapsed'],
  ];
  const [, status, reason] = verdicts.find(([holds]) => holds) ?? [
    true,
    'idle_countdown',
    'idle_timeout_not_elapsed',
  ];
  return { status, reason };
}
