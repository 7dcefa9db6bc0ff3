import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { OwnTimers, type PoolClock } from '../pools/clock.ts';
import { IdleWatch } from './idle-watch.ts';
import { PortWatch } from './port-watch.ts';

interface Watches {
  idle: IdleWatch;
  ports: PortWatch;
}

/** Suspends instances that are idle, and listens for those that sleep. Of one without a policy it knows nothing but that. */
export class StandbyKeeper {
  readonly #context: Context;
  readonly #clock: OwnTimers;
  readonly #watches = new Map<Instance, Watches>();
  #closed = false;

  constructor(context: Context, clock: PoolClock) {
    this.#context = context;
    this.#clock = new OwnTimers(clock);
  }

  /** From here on it is looked after, until it is gone. */
  add(instance: Instance): void {
    const tend = () => this.#tend(instance);
    instance.onChange(tend);
    instance.uses.onChange = tend;
    tend();
  }

  idle(instance: Instance): IdleWatch {
    return this.#of(instance).idle;
  }

  /** Its policy has changed. */
  changed(instance: Instance): void {
    const { idle, ports } = this.#of(instance);
    idle.changed();
    ports.tend();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#clock[Symbol.dispose]();
    for (const { idle } of this.#watches.values()) idle.close();
    await Promise.all([...this.#watches.values()].map(({ ports }) => ports.close()));
  }

  #of(instance: Instance): Watches {
    let watches = this.#watches.get(instance);
    if (watches === undefined) {
      watches = {
        idle: new IdleWatch(this.#context, this.#clock, instance),
        ports: new PortWatch(this.#context, instance),
      };
      this.#watches.set(instance, watches);
    }
    return watches;
  }

  #tend(instance: Instance): void {
    if (this.#closed) return;
    const { record, gone } = instance;
    // Most instances are neither suspended for being idle nor woken.
    const known = this.#watches.has(instance);
    if (!known && record.spec.autoStandby === undefined && record.suspended === undefined) return;
    const { idle, ports } = this.#of(instance);
    idle.tend();
    ports.tend();
    if (!gone) return;
    idle.close();
    this.#watches.delete(instance);
  }
}
