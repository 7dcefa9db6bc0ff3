import type { PoolOptions, PoolStage } from '@vivarium/model';

/** All that is kept of a pool. Which instances are its own, and which were handed out, their records say. */
export interface PoolRecord {
  format: 1;
  id: string;
  name: string;
  /** How its VMs are made. */
  vm: Omit<PoolOptions, 'size' | 'stage' | 'creationTimeoutMs'>;
  size: number;
  /** As it was asked for. */
  stage: PoolStage;
  /** Milliseconds. */
  creationTimeoutMs: number;
  /** `creating`: somebody still waits for its first VM, and nothing of it stays without him. `removing`: it goes. */
  phase: 'creating' | 'open' | 'removing';
  /** Only with `removing`: what was handed out stays. */
  keepAcquired?: boolean;
  /** RFC 3339. */
  createdAt: string;
  /** The request with an idempotency key that made it. */
  request?: string;
}
