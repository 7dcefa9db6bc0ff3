import type {
  AutoStandbyPolicy,
  HostResources,
  InstanceLimits,
  LimitKeeper,
  LimitsStatus,
  Reclaimed,
  ReclaimOptions,
  ResourceStatus,
  Resources,
  StandbyStatus,
  VmLimits,
  VmStandby,
  WakePolicy,
} from '@vivarium/model';
import { VivError } from '@vivarium/model';
import type { FakeVm } from './fake-vm.ts';

const status = (capacity: number): ResourceStatus => ({
  capacity,
  effectiveLimit: capacity,
  allocated: 0,
  available: capacity,
  oversubscription: 1,
  limited: false,
  source: 'detected',
});

/** A host that is never full. */
export class FakeResources implements Resources {
  readonly asked: ReclaimOptions[] = [];
  limitKeepers: LimitKeeper[] = [];

  async get(): Promise<HostResources> {
    return {
      cpu: status(2),
      memory: { ...status(2 ** 30), limited: true, judgedBy: 'use', assignedBytes: 0, promisedBytes: 0 },
      disk: status(2 ** 34),
      network: status(125_000_000),
      diskIo: status(2 ** 30),
      limitKeepers: this.limitKeepers,
      allocations: [],
    };
  }

  async reclaimMemory(options: ReclaimOptions): Promise<Reclaimed> {
    this.asked.push(options);
    const { bytes } = options;
    return {
      requestedBytes: bytes,
      plannedBytes: 0,
      appliedBytes: 0,
      hostAvailableBytes: 2 ** 30,
      pressure: 'healthy',
      actions: [],
    };
  }
}

/** A policy that is kept and never acted on. */
export class FakeStandby implements VmStandby {
  readonly #vm: FakeVm;

  constructor(vm: FakeVm) {
    this.#vm = vm;
  }

  async status(): Promise<StandbyStatus> {
    const { autoStandby: policy, wake = 'standby', state } = this.#vm.info;
    const running = state === 'Running';
    const [verdict, reason] =
      policy === undefined
        ? (['disabled', 'policy_missing'] as const)
        : !policy.enabled
          ? (['disabled', 'policy_disabled'] as const)
          : running
            ? (['idle_countdown', 'idle_timeout_not_elapsed'] as const)
            : (['ineligible', 'instance_not_running'] as const);
    const since = Date.now();
    const idleTimeoutMs = policy?.idleTimeoutMs ?? 300_000;
    return {
      supported: true,
      configured: policy !== undefined,
      enabled: policy?.enabled === true,
      eligible: policy?.enabled === true && running,
      status: verdict,
      reason,
      connections: 0,
      uses: [],
      wake,
      ...(policy === undefined ? {} : { idleTimeoutMs }),
      ...(verdict === 'idle_countdown'
        ? {
            idleSince: new Date(since).toISOString(),
            nextStandbyAt: new Date(since + idleTimeoutMs).toISOString(),
          }
        : {}),
    };
  }

  async hold(): Promise<StandbyStatus> {
    if (this.#vm.info.state === 'Suspended') throw new VivError('conflict', `${this.#vm.name} is Suspended`);
    const { idleTimeoutMs = 0, ...rest } = await this.status();
    return { ...rest, idleTimeoutMs, holdUntil: new Date(Date.now() + idleTimeoutMs).toISOString() };
  }

  async set({
    policy,
    wake,
  }: {
    policy?: AutoStandbyPolicy | null;
    wake?: WakePolicy;
  }): Promise<StandbyStatus> {
    if (policy?.idleTimeoutMs !== undefined && policy.idleTimeoutMs < 1000)
      throw new VivError('invalid_request', 'Too short.');
    const { autoStandby: before, ...rest } = this.#vm.info;
    const autoStandby = policy === undefined ? before : (policy ?? undefined);
    this.#vm.keep({
      ...rest,
      ...(autoStandby === undefined ? {} : { autoStandby }),
      ...(wake === undefined ? {} : { wake }),
    });
    return this.status();
  }
}

/** Limits that are kept in mind. */
export class FakeLimits implements VmLimits {
  readonly #vm: FakeVm;

  constructor(vm: FakeVm) {
    this.#vm = vm;
  }

  async get(): Promise<LimitsStatus> {
    const { limits: asked = {}, state } = this.#vm.info;
    const names = Object.keys(asked) as (keyof InstanceLimits)[];
    const effects = names.map((limit) => ({
      limit,
      value: asked[limit] ?? 0,
      automatic: false,
      by: 'vmm' as const,
    }));
    return { asked, effects: state === 'Running' ? effects : [] };
  }

  async set(limits: InstanceLimits): Promise<LimitsStatus> {
    if ((limits.cpuWeight ?? 0) > 10_000) throw new VivError('invalid_request', 'Out of range.');
    const { limits: before, ...rest } = this.#vm.info;
    const all = Object.entries({ ...before, ...limits }).filter(([, value]) => value !== 0);
    this.#vm.keep({ ...rest, ...(all.length === 0 ? {} : { limits: Object.fromEntries(all) }) });
    return this.get();
  }
}
