import { VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import type { InstanceRegistry } from '../instances/registry.ts';
import { hostRebooted, markAfterReboot, rememberBoot } from './autostart.ts';
import { OwnTimers } from './clock.ts';
import { Reaper } from './expiry.ts';
import { HealthChecks } from './health/checks.ts';
import { Restarts } from './restarts.ts';

/** What keeps instances going without anybody's hand: restarts, health checks, expiries. */
export class InstanceService implements Disposable {
  readonly #context: Context;
  readonly #registry: InstanceRegistry;
  readonly #timers: OwnTimers;
  readonly #restarts: Restarts;
  readonly #keepers: readonly { look(instance: Instance): void; [Symbol.dispose](): void }[];
  #open = false;

  constructor(context: Context, registry: InstanceRegistry) {
    this.#context = context;
    this.#registry = registry;
    this.#timers = new OwnTimers(context.clock);
    this.#restarts = new Restarts(context, this.#timers);
    const health = new HealthChecks(this.#timers, (instance) => void this.#restarts.unhealthy(instance));
    this.#keepers = [this.#restarts, health, new Reaper(context, this.#timers)];
    registry.arrived.push((instance) => this.#attend(instance));
  }

  /** Once every instance has been found where it is. What ran when the host went down is started beside. */
  async open(home: string, bootId: string): Promise<void> {
    const rebooted = await hostRebooted(home, bootId);
    const due = rebooted ? markAfterReboot(this.#context) : [];
    await rememberBoot(home, bootId).catch((error: unknown) => {
      // On a full disk what there is must still be reached; the next process finds the reboot again.
      process.emitWarning(`The boot of the host was not written down: ${VivError.from(error).message}`);
    });
    this.#open = true;
    void this.#restarts.startAll(due);
    for (const instance of this.#registry.all()) this.look(instance);
  }

  look(instance: Instance): void {
    if (this.#open) for (const keeper of this.#keepers) keeper.look(instance);
  }

  #attend(instance: Instance): void {
    instance.onChange(() => this.look(instance));
    this.look(instance);
  }

  /** Nothing is begun any more; what is under way at the door ends there. */
  [Symbol.dispose](): void {
    this.#open = false;
    for (const keeper of this.#keepers) keeper[Symbol.dispose]();
    this.#timers[Symbol.dispose]();
  }
}
