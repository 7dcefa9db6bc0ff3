import type { AskOptions } from './progress.ts';

/** When an instance is suspended for being idle. */
export interface AutoStandbyPolicy {
  enabled: boolean;
  /** Milliseconds without use. Default: `standby.idleTimeout` of the configuration. */
  idleTimeoutMs?: number;
  /** Connections to these ports of the guest don't keep it awake. */
  ignoreDestinationPorts?: number[];
  /** Nor do those of these clients: `10.0.0.0/8`. */
  ignoreSourceCidrs?: string[];
  /** A guest that uses more of one CPU than this (0.05: a twentieth) is not idle. Default: whatever it computes does not count. */
  cpuBelow?: number;
}

/**
 * What wakes a suspended instance when it is used: an exec, files, a tunnel, a connection to a published port. `standby`: one that was
 * suspended for being idle, or for its memory. `always`: also one that somebody has suspended. `never`: nothing but a start.
 */
export type WakePolicy = 'standby' | 'always' | 'never';

/** What keeps an instance awake, and how many of them. */
export interface StandbyUse {
  kind: 'exec' | 'attach' | 'tunnel' | 'console' | 'files' | 'connection' | 'operation' | 'session' | 'cpu';
  count: number;
}

export interface StandbyStatus {
  /** Whether the driver can suspend at all. */
  supported: boolean;
  configured: boolean;
  enabled: boolean;
  /** It would be suspended if it stayed idle long enough. */
  eligible: boolean;
  status:
    | 'unsupported'
    | 'disabled'
    | 'ineligible'
    | 'active'
    | 'idle_countdown'
    | 'ready_for_standby'
    | 'standby_requested'
    | 'error';
  reason:
    | 'unsupported_platform'
    | 'policy_missing'
    | 'policy_disabled'
    | 'instance_not_running'
    | 'active_inbound_connections'
    | 'idle_timeout_not_elapsed'
    | 'observer_error'
    | 'ready_for_standby';
  /** Connections to published ports that keep it awake. */
  connections: number;
  /** All that keeps it awake at this moment. */
  uses: StandbyUse[];
  idleTimeoutMs?: number;
  /** RFC 3339 times, where they apply. */
  idleSince?: string;
  nextStandbyAt?: string;
  holdUntil?: string;
  lastActivityAt?: string;
  wake: WakePolicy;
  /** Where looking went wrong: why. */
  error?: string;
}

/** Suspending an instance when it is idle, and waking it when it is used. */
export interface VmStandby {
  status(options?: AskOptions): Promise<StandbyStatus>;
  /**
   * Not before a whole idle timeout from now, whatever is or is not going on. Each hold replaces the one before.
   *
   * @throws VivError `conflict` where it is suspended already, or being so.
   */
  hold(options?: AskOptions): Promise<StandbyStatus>;
  /**
   * Takes effect at once, in any state. Absent fields stay; `policy: null` removes the policy.
   *
   * @throws VivError `invalid_request`, `not_supported`, `busy`.
   */
  set(
    change: { policy?: AutoStandbyPolicy | null; wake?: WakePolicy },
    options?: AskOptions,
  ): Promise<StandbyStatus>;
}
