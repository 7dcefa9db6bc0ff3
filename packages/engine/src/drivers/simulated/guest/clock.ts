import { setTimeout } from 'node:timers/promises';

/** Time as a simulated guest has it. */
export interface SimulatedClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Rejects when the signal fires first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** The longest a timer of Node can wait. */
const longestMs = 0x7fffffff;

/** The host's own time. Its timers keep no process alive. */
export const realClock: SimulatedClock = {
  now: () => Date.now(),
  sleep: async (milliseconds, signal) => {
    for (let left = milliseconds; left > 0; left -= longestMs) {
      await setTimeout(Math.min(left, longestMs), undefined, { signal, ref: false });
    }
  },
};
