import type { CreateOptions } from './instance.ts';
import type { CallOptions } from './progress.ts';
import type { Vm } from './vivarium.ts';

/** How far the VMs of a pool are made ready before anybody asks for one. */
export type PoolStage = 'running' | 'suspended' | 'stopped';

export interface PoolOptions extends Omit<CreateOptions, 'name' | 'autoRemove' | 'attach'> {
  /** VMs that are kept ready, 1 to 1000. Default 2. */
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

/** What happened in a pool. Never waited for. */
export interface PoolEvent {
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
  refresh(): Promise<PoolInfo>;
  /** A VM that runs. Waits for one where none is ready; many may be acquired at once. Leaving its scope deletes it. */
  acquire(options?: CallOptions): Promise<Vm>;
  /** Ends and deletes a VM that was acquired, as `vm.delete({ force: true })` does, and has it replaced. */
  release(idOrName: string): Promise<void>;
  events(options?: { since?: number; signal?: AbortSignal }): AsyncIterable<PoolEvent>;
  /** Cancels what is being made and deletes what is ready; VMs that were acquired too, unless `keepAcquired`. */
  remove(options?: { keepAcquired?: boolean }): Promise<void>;
}

export interface Pools {
  /** Resolves once the first VM is ready; the others follow. `wait: false`: at once. @throws VivError `name_conflict`. */
  create(name: string, options: PoolOptions & CallOptions & { wait?: boolean }): Promise<Pool>;
  /** @throws VivError `not_found`. */
  get(name: string): Promise<Pool>;
  list(): Promise<PoolInfo[]>;
}
