export { hostClock, OwnTimers, type PoolClock as Clock } from '../pools/clock.ts';
