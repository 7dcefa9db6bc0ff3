import type { CreateOptions } from './instance.ts';
import type { AskOptions, MakingOptions } from './progress.ts';
import type { Vm } from './vivarium.ts';

/** How far the VMs of a pool are made ready before anybody asks for one. */
export type PoolStage = 'running' | 'suspended' | 'stopped';

export interface PoolOptions
  extends Omit<
    CreateOptions,
    'name' | 'autoRemove' | 'attach' | 'restartPolicy' | 'ttlMs' | 'expiresAt' | 'autostart'
  > {
  /** Places for VMs, 1 to 1000: those that are ready, and those that were acquired and not given back. Default 2. */
  size?: number;
  /** Default `running`. Where the driver can't suspend, `suspended` is `stopped`. */
  stage?: PoolStage;
  /** Milliseconds that making one VM may take before it is cancelled and its remains removed. Default 120,000. */
  creationTimeoutMs?: number;
}

export interface PoolInfo {
  /** As instance names. */
  name: string;
  image: string;
  size: number;
  stage: PoolStage;
  /** VMs that can be handed out at once. */
  ready: number;
  creating: number;
  /** Handed out and not given back. */
  acquired: number;
  /** `filling`: fewer are ready than there should be. `failing`: the last attempt failed, and the next one waits. */
  health: 'full' | 'filling' | 'failing';
  /** Why the last attempt failed; gone with the next success. */
  lastError?: { code: string; message: string; at: string; attempts: number; retryAt?: string };
  /** RFC 3339. */
  createdAt: string;
}

/** What happened in a pool. Never waited for; the newest 1000 are held for as long as the daemon lives. */
export interface PoolEvent {
  /** Without gaps in one life of the daemon, and above all numbers of earlier ones. */
  seq: number;
  /** RFC 3339. */
  at: string;
  pool: string;
  type:
    | 'created'
    | 'creating'
    | 'ready'
    | 'creation-failed'
    | 'creation-cancelled'
    | 'backing-off'
    | 'recovered'
    | 'waiting'
    | 'acquired'
    | 'released'
    | 'lost'
    | 'full'
    | 'closing'
    | 'closed';
  instanceId?: string;
  data: Record<string, unknown>;
}

/** A fixed number of VMs that are ready before they are wanted. Each is handed out once, and then replaced. */
export interface Pool extends AsyncDisposable {
  readonly name: string;
  readonly info: PoolInfo;
  refresh(options?: AskOptions): Promise<PoolInfo>;
  /**
   * A VM that runs. Waits for one where none is ready, first come, first served; many may be acquired at once. Leaving its scope
   * deletes it. A pool that is failing tries again at once for whoever comes to wait, at most once a second.
   *
   * @throws VivError `cancelled`, `timeout` by the signal, `cancelled` where the pool is removed meanwhile, and why a VM did
   *   not start where three in a row don't.
   */
  acquire(options?: MakingOptions): Promise<Vm>;
  /**
   * Ends and deletes a VM that was acquired, as `vm.delete({ force: true })` does, and has it replaced.
   *
   * @throws VivError `not_found` for a VM that is not the pool's, `invalid_state` for one that was not acquired.
   */
  release(idOrName: string, options?: AskOptions): Promise<void>;
  /** Events after `since` (default: from now), then new ones as they come; they end with the pool. */
  events(options?: { since?: number; signal?: AbortSignal }): AsyncIterable<PoolEvent>;
  /**
   * Sends away whoever waits, cancels what is being made and deletes what is ready; VMs that were acquired too, unless
   * `keepAcquired`. @throws VivError naming what could not be removed; the pool is listed until it is removed once more.
   */
  remove(options?: AskOptions & { keepAcquired?: boolean }): Promise<void>;
}

export interface Pools {
  /**
   * Resolves once the first VM is ready; the others follow. `wait: false`: at once. Where making one fails it is tried again until
   * the signal fires, and then nothing is left of the pool.
   *
   * @throws VivError `name_conflict`, whatever is wrong with the options, and at once what no repetition mends: an image or a
   *   command that is not there.
   */
  create(name: string, options: PoolOptions & MakingOptions & { wait?: boolean }): Promise<Pool>;
  /** @throws VivError `not_found`. */
  get(name: string, options?: AskOptions): Promise<Pool>;
  list(options?: AskOptions): Promise<PoolInfo[]>;
}
