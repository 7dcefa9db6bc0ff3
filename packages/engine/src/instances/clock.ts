import { VivError } from '@vivarium/model';
import type { Instances } from './context.ts';
import type { Instance } from './instance.ts';

/** Milliseconds the agent has to answer. */
const answerMs = 2000;
/** Milliseconds between looks at the host's clock. */
const lookMs = 5000;
/** A step of the host's clock that guests are told of; NTP's slewing stays below. Milliseconds. */
const leastStepMs = 500;

/**
 * Tells a guest what time it is. Its clock stands still with its vCPUs, and its kernel does not see the host's being set. A
 * guest that can't take it keeps its own time, and the events say so.
 */
export async function setGuestClock(instance: Instance, now: () => number = Date.now): Promise<void> {
  try {
    await instance.guest?.setClock(BigInt(Math.round(now())) * 1_000_000n, AbortSignal.timeout(answerMs));
  } catch (error) {
    instance.emit('warning', { message: `The clock was not set: ${VivError.from(error).message}` });
  }
}

/** What {@link watchClock} looks at; both in milliseconds. */
export interface HostClocks {
  /** Wall clock. */
  now(): number;
  /** Never set, and standing still while the host sleeps: as the clocks of its guests. */
  monotonic(): number;
}

const hostClocks: HostClocks = { now: Date.now, monotonic: () => performance.now() };

/** Sets the clocks of running guests whenever the host's was set or the host has slept. Keeps no process alive. */
export function watchClock(
  instances: Instances,
  { clocks = hostClocks, everyMs = lookMs }: { clocks?: HostClocks; everyMs?: number } = {},
): Disposable {
  let offset = clocks.now() - clocks.monotonic();
  const look = () => {
    const found = clocks.now() - clocks.monotonic();
    if (Math.abs(found - offset) < leastStepMs) return;
    offset = found;
    for (const instance of instances.all()) {
      if (instance.state === 'Running') void setGuestClock(instance, clocks.now);
    }
  };
  const timer = setInterval(look, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
