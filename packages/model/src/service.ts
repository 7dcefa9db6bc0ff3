import type { InstanceLimits } from './limits.ts';
import type { AutoStandbyPolicy, WakePolicy } from './standby.ts';

/** What is done by itself when a VM ends. A stop that somebody asked for holds it back until the next start. */
export interface RestartPolicy {
  /**
   * `never`. `always`: after any end. `on_failure`: after an exit code other than 0, a signal, the guest's kernel or its VMM dying,
   * an end nobody can explain, and a health check that fails. Default `never`.
   */
  policy: 'never' | 'always' | 'on_failure';
  /** Milliseconds before each attempt. Default 5000. */
  backoffMs?: number;
  /** Attempts in a row; 0: no limit. Default 0. */
  maxAttempts?: number;
  /** Having run for so many milliseconds, it starts with no attempts counted. Default 600,000. */
  stableAfterMs?: number;
}

/** How far the restart policy of an instance has come. */
export interface RestartStatus {
  /** In a row. */
  attempts: number;
  /** Nothing is restarted until the next start by somebody. */
  blockedReason?: 'manual_stop' | 'max_attempts_exceeded';
  /** RFC 3339. */
  lastAttemptAt?: string;
  /** What other than an end asked for it. */
  lastReason?: 'health_check_failed';
  /** Why the last attempt did not start it. */
  lastError?: string;
  /** RFC 3339. */
  nextAttemptAt?: string;
}

/** How it is found out whether the workload works. Exactly the object named by `type` is looked at. */
export interface HealthCheck {
  type: 'none' | 'http' | 'tcp' | 'exec';
  /** Healthy is the status that is expected, else 200 to 399. Asked through the agent: no published port is needed. */
  http?: {
    port: number;
    /** Default `/`. */
    path?: string;
    /** Certificates are not looked at. Default `http`. */
    scheme?: 'http' | 'https';
    expectedStatus?: number;
  };
  /** Healthy when it takes a connection. */
  tcp?: { port: number };
  /** Healthy is exit code 0. `workingDir`: default the workload's. */
  exec?: { command: string[]; workingDir?: string };
  /** Milliseconds between the end of a check and the next one. Default 10,000. */
  intervalMs?: number;
  /** Milliseconds a check may take; a command that takes longer is killed with its process group. Default 2000. */
  timeoutMs?: number;
  /** Milliseconds after a start in which failures do not count. Default 30,000. */
  startPeriodMs?: number;
  /** Failures in a row. Default 3. */
  failureThreshold?: number;
  /** Successes in a row. Default 1. */
  successThreshold?: number;
}

/** What the checks have found. It begins anew with each start, and with each daemon. */
export interface HealthStatus {
  /** `unknown`: nothing runs that could be checked. */
  status: 'starting' | 'healthy' | 'unhealthy' | 'unknown';
  consecutiveFailures: number;
  consecutiveSuccesses: number;
  /** RFC 3339 times. */
  lastCheckedAt?: string;
  lastSuccessAt?: string;
  lastFailureAt?: string;
  /** What the check printed last or was answered, at most 4 KiB. */
  lastOutput?: string;
  /** Why the last check that failed did. */
  lastError?: string;
}

/** Started again after a reboot of the host, when it ran as the host went down. */
export interface Autostart {
  /** The highest is started first. Default 0. */
  priority?: number;
  /** Milliseconds before the next one is started after it. Default 0. */
  delayMs?: number;
}

/** How much of what a VM prints is kept: in each of console.log and app.log, and in files before them. */
export interface LogLimits {
  /** Bytes of one file. Default 10 MiB, at least 4096. */
  maxBytes?: number;
  /** Full files that are kept beside the one written to, 0 to 100. Default 1. */
  keep?: number;
}

/** What keeps an instance going without anybody's hand; part of what it is made with. */
export interface ServiceOptions {
  restartPolicy?: RestartPolicy;
  healthCheck?: HealthCheck;
  /** Milliseconds from now until it is deleted, running or not; 0: never. Not beside `expiresAt`. Default 0. */
  ttlMs?: number;
  /** RFC 3339 time in the future at which it is deleted. */
  expiresAt?: string;
  autostart?: Autostart;
  logs?: LogLimits;
}

/** What can be changed of an instance, in any state but for `disk`. What is absent stays. */
export interface UpdateOptions extends Omit<ServiceOptions, 'autostart' | 'logs'> {
  /** Merged with what is there; null removes a variable. A running workload keeps its own until the next start. */
  env?: Record<string, string | null>;
  /** Merged with what is there; null removes a tag. */
  tags?: Record<string, string | null>;
  /** Null: not any more. */
  autostart?: Autostart | null;
  /** From the next start on. */
  logs?: LogLimits;
  /** Null removes the policy. */
  autoStandby?: AutoStandbyPolicy | null;
  wake?: WakePolicy;
  /** In effect at once where it runs. What is not named stays; 0 lifts a limit. */
  limits?: InstanceLimits;
  /** Bytes, or a size such as `20GB`. Only growing, while it is Stopped, Created, Running or Shutdown. */
  disk?: number | string;
  name?: string;
}

/** What an instance shows of it. */
export interface ServiceInfo {
  /** Absent: `never`. Every default filled in. */
  restartPolicy?: Required<RestartPolicy>;
  /** Absent until there is something to tell. */
  restart?: RestartStatus;
  /** Absent: none. Every default filled in. */
  healthCheck?: HealthCheck;
  health?: HealthStatus;
  /** RFC 3339. It is deleted then. */
  expiresAt?: string;
  autostart?: Required<Autostart>;
  logs?: LogLimits;
  /** Changed since its workload was started; in effect from the next start on. */
  pendingChanges?: ('env' | 'logs')[];
}
