import { type PoolClock as Clock, hostClock as poolsOwn } from '../pools/clock.ts';

export { OwnTimers, type PoolClock as Clock } from '../pools/clock.ts';

/** Policies keep no program alive that has nothing else to do. */
export const hostClock: Clock = {
  ...poolsOwn,
  after: (milliseconds, call) => {
    const timer = setTimeout(call, milliseconds).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
