import { VivError } from '@vivarium/model';
import type { MachineRecord, PublishSpec } from '../driver.ts';

/** Where free ports of a simulated host begin and end; no real socket is ever bound. */
const ephemeral = { first: 20_000, last: 65_535 };

/** The published ports of a simulated host. */
export class SimulatedPorts {
  readonly #taken = new Set<string>();
  #next = ephemeral.first;

  /** Takes what a machine publishes: all of it, or nothing. */
  bind(publish: readonly PublishSpec[]): MachineRecord['ports'] {
    const bound: MachineRecord['ports'] = [];
    try {
      for (const wanted of publish) bound.push(this.#bindOne(wanted));
    } catch (error) {
      this.release(bound);
      throw error;
    }
    return bound;
  }

  release(ports: MachineRecord['ports']): void {
    for (const { hostAddress, hostPort } of ports) this.#taken.delete(`${hostAddress}:${hostPort}`);
  }

  /** As if another program held it. @throws VivError `port_in_use`. */
  occupy(hostAddress: string, hostPort: number): void {
    this.#bindOne({ hostAddress, hostPort, guestPort: 0, binding: 'required' });
  }

  #bindOne({ hostAddress, hostPort, guestPort, binding }: PublishSpec): MachineRecord['ports'][number] {
    const free = hostPort !== 0 && !this.#taken.has(`${hostAddress}:${hostPort}`);
    if (!free && hostPort !== 0 && binding === 'required') {
      throw new VivError('port_in_use', `Port ${hostPort} on ${hostAddress} is taken`, {
        hint: 'Publish another port, or none in particular.',
        details: { hostAddress, hostPort },
      });
    }
    const port = free ? hostPort : this.#freePort(hostAddress);
    this.#taken.add(`${hostAddress}:${port}`);
    return { hostAddress, hostPort: port, guestPort };
  }

  #freePort(hostAddress: string): number {
    const count = ephemeral.last - ephemeral.first + 1;
    for (let tries = 0; tries < count; tries++) {
      const port = this.#next;
      this.#next = port === ephemeral.last ? ephemeral.first : port + 1;
      if (!this.#taken.has(`${hostAddress}:${port}`)) return port;
    }
    throw new VivError('port_in_use', `No free port is left on ${hostAddress}`);
  }
}
