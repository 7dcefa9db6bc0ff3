import { VivError } from '@vivarium/model';
import type { DormantPorts } from '../drivers/driver.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { mayWake } from './policy.ts';
import { awake } from './wake.ts';

/** From these its ports go nowhere, or are in the hands of a launch. */
const onTheWay: ReadonlySet<string> = new Set(['Suspending', 'Restoring']);

/** A process that holds ports for less long than this has failed. Milliseconds. */
const shortestMs = 1000;

/** Listens to the published ports of one instance while it is suspended, and wakes it when somebody comes. */
export class PortWatch {
  readonly #context: Context;
  readonly #instance: Instance;
  #ports: DormantPorts | undefined;
  #opening = false;
  #waking = false;
  #closed = false;

  constructor(context: Context, instance: Instance) {
    this.#context = context;
    this.#instance = instance;
  }

  get #wanted(): boolean {
    const { state, record, gone } = this.#instance;
    return !gone && state === 'Suspended' && record.ports.length > 0 && mayWake(this.#instance);
  }

  /** To be called whenever something about the instance has changed. */
  tend(): void {
    if (this.#closed) return;
    if (this.#wanted) {
      if (this.#ports === undefined && !this.#opening) void this.#open();
    } else if (this.#ports !== undefined && !onTheWay.has(this.#instance.state)) {
      void this.#giveUp(this.#ports);
    }
  }

  /** Lets go; who holds the ports goes on, unless it is to end with this process. */
  async close(): Promise<void> {
    this.#closed = true;
    const { embedded } = this.#context;
    const ports = this.#ports;
    this.#ports = undefined;
    if (embedded && !this.#instance.record.spec.detached) await ports?.close().catch(() => undefined); // its stdin tells it as well
    await ports?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<void> {
    const { driver, embedded, admission } = this.#context;
    if (driver.dormantPorts === undefined) return;
    const { record, dir } = this.#instance;
    this.#opening = true;
    try {
      const ports = await driver.dormantPorts(dir, {
        ports: record.ports,
        detached: !embedded || record.spec.detached,
        holdMs: admission.config['standby.wakeTimeout'],
      });
      if (this.#closed) return await ports[Symbol.asyncDispose]();
      this.#ports = ports;
      const { clock } = this.#context;
      const openedAt = clock.now();
      void ports.ended.then(() => {
        if (this.#ports === ports) this.#ports = undefined;
        // What ends as soon as it has begun would do so again: it is tried when something about the instance changes.
        if (clock.now() - openedAt < shortestMs && this.#wanted)
          this.#instance.emit('warning', {
            message: 'What holds its ports while it is suspended has ended at once',
          });
        else this.tend();
      });
      ports.onTraffic(() => void this.#wake());
    } catch (error) {
      this.#instance.emit('warning', {
        message: `Its ports can't be held while it is suspended: ${VivError.from(error).message}`,
      });
      return;
    } finally {
      this.#opening = false;
    }
    this.tend();
  }

  async #giveUp(ports: DormantPorts): Promise<void> {
    this.#ports = undefined;
    await ports.close().catch((error: unknown) => {
      this.#instance.emit('warning', {
        message: `Its ports could not be given up: ${VivError.from(error).message}`,
      });
    });
  }

  async #wake(): Promise<void> {
    if (this.#waking || this.#closed) return;
    this.#waking = true;
    try {
      await awake(this.#context, this.#instance, 'connection');
    } catch (thrown) {
      const error = VivError.from(thrown);
      this.#instance.emit('wake-failed', {
        by: 'connection',
        error: { code: error.code, message: error.message },
      });
      // Whoever waits is told now, and not when his patience ends. Where a launch took the ports they went with it.
      await this.#ports?.drop().catch(() => undefined);
    } finally {
      this.#waking = false;
    }
  }
}
