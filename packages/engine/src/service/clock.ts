import { type PoolClock as Clock, hostClock as poolsOwn } from '../pools/clock.ts';

export { OwnTimers, type PoolClock as Clock } from '../pools/clock.ts';

/** Milliseconds until what has failed so many times in a row is tried again: later each time. */
export function growingPause(failures: number, longestMs = 300_000): number {
  return Math.min(5000 * 2 ** Math.max(0, failures - 1), longestMs);
}

/** Policies keep no program alive that has nothing else to do. */
export const hostClock: Clock = {
  ...poolsOwn,
  after: (milliseconds, call) => {
    const timer = setTimeout(call, milliseconds).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
