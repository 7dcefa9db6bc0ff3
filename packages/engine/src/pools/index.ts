export type { PoolClock } from './clock.ts';
export { EnginePool } from './pool.ts';
export { EnginePools } from './pools.ts';
