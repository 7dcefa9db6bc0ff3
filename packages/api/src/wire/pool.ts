import type { PoolEvent as Event, PoolInfo, PoolOptions, PoolStage } from '@vivarium/model';
import type { CreatePool, Pool, PoolEvent } from '../schemas/pool.ts';
import { createFromWire, createToWire } from './instance.ts';
import { camelKeys, snakeKeys } from './keys.ts';
import { present } from './present.ts';

/** A pool that is to be made: its name, its options, and whether its first VM is waited for. */
export interface PoolRequest {
  readonly name: string;
  readonly options: PoolOptions;
  readonly wait?: boolean | undefined;
}

export function poolRequestToWire({ name, options, wait }: PoolRequest): CreatePool {
  const { size, stage, creationTimeoutMs, ...create } = options;
  const { start: _, ...instance } = createToWire(create, true);
  return present<CreatePool>({ name, instance, size, stage, creation_timeout_ms: creationTimeoutMs, wait });
}

export function poolRequestFromWire(body: CreatePool): PoolRequest {
  const options = present<PoolOptions>({
    ...createFromWire(body.instance),
    size: body.size,
    stage: body.stage as PoolStage | undefined,
    creationTimeoutMs: body.creation_timeout_ms,
  });
  return present<PoolRequest>({ name: body.name, options, wait: body.wait });
}

export function poolToWire(info: PoolInfo): Pool {
  const { lastError, createdAt, ...rest } = info;
  return present<Pool>({
    ...rest,
    last_error: lastError && (snakeKeys(present(lastError)) as Pool['last_error']),
    created_at: createdAt,
  });
}

export function poolFromWire(wire: Pool): PoolInfo {
  const { last_error, created_at, stage, health, ...rest } = wire;
  return present<PoolInfo>({
    ...rest,
    stage: stage as PoolStage,
    health: health as PoolInfo['health'],
    lastError: last_error && (camelKeys(last_error) as PoolInfo['lastError']),
    createdAt: created_at,
  });
}

export function poolEventToWire({ instanceId, ...rest }: Event): PoolEvent {
  return present<PoolEvent>({ ...rest, instance_id: instanceId });
}

export function poolEventFromWire({ instance_id, type, ...rest }: PoolEvent): Event {
  return present<Event>({ ...rest, type: type as Event['type'], instanceId: instance_id });
}
