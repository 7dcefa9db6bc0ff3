import {
  type AutoStandbyPolicy,
  isVivError,
  type StandbyStatus,
  type StandbyUse,
  VivError,
} from '@vivarium/model';
import type { PortTraffic } from '../drivers/driver.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { suspendInstance } from '../instances/suspend.ts';
import type { PoolClock } from '../pools/clock.ts';
import { expectUnused, look, usedAgain } from './look.ts';

/** Between two looks at what tells nobody when it ends. Milliseconds. */
const lookAgainMs = 10_000;

/** Somebody came while it was being suspended, or something else is being done with it: no failure. */
const passing = ['conflict', 'busy', 'cancelled', 'invalid_state', 'not_found'] as const;

/** Counts the time in which one instance is not used, and suspends it when that is long enough. */
export class IdleWatch {
  readonly #context: Context;
  readonly #clock: PoolClock;
  readonly #instance: Instance;
  #timer: Disposable | undefined;
  #idleSince: number | undefined;
  #lastActivity: number | undefined;
  #holdUntil: number | undefined;
  /** What the last look has found. */
  #found: StandbyUse[] = [];
  #error: VivError | undefined;
  #requested = false;
  #cpu: { at: number; nanos: number } | undefined;
  /** Whatever was begun in an earlier one is of no interest any more. */
  #round = 0;
  #closed = false;

  constructor(context: Context, clock: PoolClock, instance: Instance) {
    this.#context = context;
    this.#clock = clock;
    this.#instance = instance;
  }

  get policy(): AutoStandbyPolicy | undefined {
    return this.#instance.record.spec.autoStandby;
  }

  get #idleMs(): number {
    return this.policy?.idleTimeoutMs ?? this.#context.admission.config['standby.idleTimeout'];
  }

  /** Whether it would be suspended if nobody used it. VMs that a pool keeps ready are idle by design. */
  get eligible(): boolean {
    const { state, record, gone } = this.#instance;
    const kept = record.pool !== undefined && record.pool.acquiredAt === undefined;
    return (
      !this.#closed &&
      !gone &&
      this.policy?.enabled === true &&
      state === 'Running' &&
      !kept &&
      this.#context.driver.capabilities().save
    );
  }

  /** To be called whenever something about the instance has changed. Cheap. */
  tend(): void {
    if (!this.eligible) this.#stop();
    else if (!this.#instance.uses.none) {
      this.#lastActivity = this.#clock.now();
      this.#stop();
    } else if (this.#idleSince === undefined && this.#timer === undefined && !this.#requested)
      this.#idleFrom(this.#clock.now());
  }

  /** The policy is another one. */
  changed(): void {
    const since = this.#idleSince;
    this.#stop();
    this.#error = undefined;
    if (!this.eligible || !this.#instance.uses.none) return;
    this.#idleFrom(since ?? this.#clock.now());
  }

  hold(): void {
    this.#holdUntil = this.#clock.now() + this.#idleMs;
    if (this.#idleSince !== undefined) this.#idleFrom(this.#idleSince);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #stop(): void {
    this.#round += 1;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#idleSince = undefined;
    this.#found = [];
    this.#cpu = undefined;
  }

  #idleFrom(since: number): void {
    this.#idleSince = since;
    if (this.policy?.cpuBelow !== undefined && this.#cpu === undefined) void this.#sampleCpu();
    this.#after(Math.max(since + this.#idleMs, this.#holdUntil ?? 0) - this.#clock.now());
  }

  #after(milliseconds: number): void {
    this.#round += 1;
    const round = this.#round;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(Math.max(0, milliseconds), () => {
      this.#timer = undefined;
      if (round === this.#round) void this.#due(round);
    });
  }

  async #due(round: number): Promise<void> {
    const { operation } = this.#instance;
    if (operation !== undefined && !operation.yields) {
      this.#stop();
      await operation.ended;
      return this.tend();
    }
    const { policy } = this;
    let found: StandbyUse[];
    let quietSince: number | undefined;
    try {
      const { uses, quietMs } = await look(this.#instance, policy);
      quietSince = quietMs === undefined ? undefined : this.#clock.now() - quietMs;
      found = [...uses, ...(await this.#computing(policy?.cpuBelow))];
      this.#error = undefined;
    } catch (error) {
      if (round !== this.#round) return;
      this.#error = VivError.from(error);
      this.#idleSince = undefined;
      return this.#after(Math.min(lookAgainMs, this.#idleMs));
    }
    if (round !== this.#round) return;
    this.#judge(found, quietSince);
  }

  #judge(found: StandbyUse[], quietSince: number | undefined): void {
    const now = this.#clock.now();
    this.#found = found;
    if (found.length > 0) {
      // Nobody tells when these end.
      this.#lastActivity = now;
      this.#idleSince = undefined;
      this.#cpu = undefined;
      if (found.some(({ kind }) => kind === 'cpu')) this.#idleFrom(now);
      else this.#after(Math.min(lookAgainMs, this.#idleMs));
      return;
    }
    if (quietSince !== undefined) this.#lastActivity = Math.max(this.#lastActivity ?? 0, quietSince);
    // After a look at something that has ended meanwhile: from when it was seen last.
    const since = Math.max(this.#idleSince ?? this.#lastActivity ?? now, quietSince ?? 0);
    const due = Math.max(since + this.#idleMs, this.#holdUntil ?? 0);
    if (due > now) {
      this.#idleFrom(since);
      return;
    }
    this.#idleSince = since;
    void this.#suspend();
  }

  async #suspend(): Promise<void> {
    const { name } = this.#instance.record;
    this.#requested = true;
    try {
      await suspendInstance(this.#context, this.#instance, {
        by: 'idle',
        still: (open) => this.#stillIdle(open),
      });
    } catch (error) {
      if (!isVivError(error, ...passing)) {
        this.#error = VivError.from(error);
        this.#instance.emit('warning', {
          message: `${name} is idle and could not be suspended: ${this.#error.message}`,
        });
      }
    } finally {
      this.#requested = false;
      this.#stop();
      this.tend();
    }
  }

  /** @throws VivError `conflict`. */
  #stillIdle(open: readonly PortTraffic[]): void {
    expectUnused(this.#instance, open);
    if ((this.#holdUntil ?? 0) > this.#clock.now()) throw usedAgain(this.#instance);
  }

  async #sampleCpu(): Promise<void> {
    const pid = this.#instance.machine?.record.vmm.pid;
    const at = this.#clock.now();
    if (pid === undefined) return;
    try {
      const nanos = await this.#context.admission.gauge.cpuNanos(pid);
      if (nanos !== undefined && this.#idleSince !== undefined) this.#cpu = { at, nanos };
    } catch (error) {
      this.#error = VivError.from(error);
    }
  }

  /** Whether it has computed more than it may since it was idle. What nobody can measure does not count. */
  async #computing(cpuBelow: number | undefined): Promise<StandbyUse[]> {
    const pid = this.#instance.machine?.record.vmm.pid;
    const before = this.#cpu;
    if (cpuBelow === undefined || before === undefined || pid === undefined) return [];
    const nanos = await this.#context.admission.gauge.cpuNanos(pid);
    const elapsed = (this.#clock.now() - before.at) * 1e6;
    if (nanos === undefined || elapsed <= 0 || (nanos - before.nanos) / elapsed <= cpuBelow) return [];
    return [{ kind: 'cpu', count: 1 }];
  }

  /** As far as it is known without asking anybody. */
  get view(): Pick<
    StandbyStatus,
    'idleTimeoutMs' | 'idleSince' | 'nextStandbyAt' | 'holdUntil' | 'lastActivityAt'
  > & {
    requested: boolean;
    found: StandbyUse[];
    error: VivError | undefined;
  } {
    const time = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());
    const now = this.#clock.now();
    const since = this.#idleSince;
    const held = this.#holdUntil !== undefined && this.#holdUntil > now ? this.#holdUntil : undefined;
    return {
      ...(this.policy === undefined ? {} : { idleTimeoutMs: this.#idleMs }),
      ...(since === undefined
        ? {}
        : { idleSince: time(since), nextStandbyAt: time(Math.max(since + this.#idleMs, held ?? 0)) }),
      ...(held === undefined ? {} : { holdUntil: time(held) }),
      ...(this.#lastActivity === undefined ? {} : { lastActivityAt: time(this.#lastActivity) }),
      requested: this.#requested,
      found: this.#found,
      error: this.#error,
    };
  }

  /** Milliseconds since 1970; undefined where it is in use, or not known to be idle. */
  get idleSince(): number | undefined {
    return this.#idleSince;
  }
}
