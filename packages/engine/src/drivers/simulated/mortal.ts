import type { DormantPorts, Driver, ExitRecord, Machine, MachineStatus, SavedState } from '../driver.ts';
import type { SimulatedDriver } from './driver.ts';
import { never } from './machine.ts';

/**
 * A driver as a daemon has it that is killed: from {@link MortalDriver.die} on nothing that was asked is answered, and
 * nobody is told anything. What lives on its host lives on.
 */
export class MortalDriver implements Driver {
  readonly name: string;
  readonly #driver: SimulatedDriver;
  #dead = false;

  constructor(driver: SimulatedDriver) {
    this.#driver = driver;
    this.name = driver.name;
  }

  die(): void {
    this.#dead = true;
    this.#driver.die();
  }

  capabilities(): ReturnType<Driver['capabilities']> {
    return this.#driver.capabilities();
  }

  build(): Promise<string> {
    return this.#driver.build();
  }

  keepsTime(state: SavedState): Promise<boolean> {
    return this.#driver.keepsTime(state);
  }

  launch(...[spec, signal, from]: Parameters<Driver['launch']>): Promise<Machine> {
    return this.#whileAlive(() =>
      this.#driver.launch(spec, signal, from).then((machine) => this.#wrap(machine)),
    );
  }

  adopt(dir: string): Promise<Machine | ExitRecord | undefined> {
    return this.#whileAlive(async () => {
      const found = await this.#driver.adopt(dir);
      return found && 'record' in found ? this.#wrap(found) : found;
    });
  }

  dormantPorts(...args: Parameters<SimulatedDriver['dormantPorts']>): Promise<DormantPorts> {
    return this.#whileAlive(() => this.#driver.dormantPorts(...args));
  }

  /** The dead ask nothing, and hear no answer to what they asked alive. */
  async #whileAlive<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#dead) return never;
    try {
      const value = await ask();
      return this.#dead ? never : value;
    } catch (error) {
      if (this.#dead) return never;
      throw error;
    }
  }

  #wrap(machine: Machine): Machine {
    const exited = this.#whileAlive(() => machine.exited);
    const isDead = () => this.#dead;
    const whileAlive = <T>(promise: Promise<T>) => this.#whileAlive(() => promise);
    const onStatus = (listener: (status: MachineStatus) => void) =>
      machine.onStatus((status) => {
        if (!this.#dead) listener(status);
      });
    return new Proxy(machine, {
      get(target, property) {
        if (property === 'exited') return exited;
        if (property === 'onStatus') return onStatus;
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (isDead()) return never;
          const result: unknown = Reflect.apply(value, target, args);
          return result instanceof Promise ? whileAlive(result) : result;
        };
      },
    });
  }
}
