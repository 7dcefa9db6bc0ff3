import { VivError } from '@vivarium/model';
import type {
  DormantPorts,
  DormantSpec,
  MachineRecord,
  MachineSpec,
  PortTraffic,
  PublishSpec,
} from '../driver.ts';

/** Where free ports of a simulated host begin and end; no real socket is ever bound. */
const ephemeral = { first: 20_000, last: 65_535 };

/** A client's connection to a published port. `waiting`: accepted, and carried nowhere yet. */
export interface SimulatedConnection {
  readonly guestPort: number;
  readonly peer: string;
  state: 'waiting' | 'open' | 'closed';
  endedAt: number;
}

/** Who listens: the shim of a machine, or what its ports were left to. */
interface Holding {
  dir: string;
  bound: MachineRecord['ports'];
  connections: SimulatedConnection[];
  held: boolean;
  keep: boolean;
  /** The machine has ended. */
  dormant: boolean;
  detached: boolean;
  listeners: Set<Listener>;
}

interface Listener {
  wake: (() => void) | undefined;
  ended: PromiseWithResolvers<void>;
}

/** The published ports of a simulated host. */
export class SimulatedPorts {
  readonly #taken = new Map<string, string>();
  readonly #holdings = new Map<string, Holding>();
  readonly #now: () => number;
  #next = ephemeral.first;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Takes what a machine publishes, over from who held it for its directory; all of it, or nothing. */
  bind(
    publish: readonly PublishSpec[],
    { dir, holdPorts = false, detached }: Pick<MachineSpec, 'dir' | 'holdPorts' | 'detached'>,
  ): MachineRecord['ports'] {
    const before = this.#holdings.get(dir);
    const bound: MachineRecord['ports'] = [];
    try {
      for (const wanted of publish) bound.push(this.#bindOne(wanted, dir));
    } catch (error) {
      if (before === undefined) this.#free(bound);
      throw error;
    }
    const connections = before?.connections.filter(({ state }) => state === 'waiting') ?? [];
    const holding = this.#hold(dir, bound, { held: holdPorts, detached, dormant: false, connections });
    for (const listener of before?.listeners ?? []) listener.ended.resolve();
    if (!holding.held) this.letThrough(dir);
    return bound;
  }

  /** The machine of a directory has ended. */
  release(dir: string): void {
    const holding = this.#holdings.get(dir);
    if (holding === undefined) return;
    for (const connection of holding.connections) if (connection.state === 'open') this.close(connection);
    holding.dormant = true;
    if (!holding.keep) this.#giveUp(holding);
  }

  /** As if another program held it. @throws VivError `port_in_use`. */
  occupy(hostAddress: string, hostPort: number): void {
    this.#bindOne({ hostAddress, hostPort, guestPort: 0, binding: 'required' }, '');
  }

  /** A client connects. @throws VivError `conflict` where nobody listens: it is refused. */
  connect(hostPort: number, peer = '127.0.0.1', hostAddress = '127.0.0.1'): SimulatedConnection {
    const dir = this.#taken.get(`${hostAddress}:${hostPort}`);
    const holding = dir === undefined ? undefined : this.#holdings.get(dir);
    const port = holding?.bound.find((one) => one.hostPort === hostPort && one.hostAddress === hostAddress);
    if (holding === undefined || port === undefined)
      throw new VivError('conflict', `Nobody listens on ${hostAddress}:${hostPort}`);
    const connection: SimulatedConnection = {
      guestPort: port.guestPort,
      peer,
      state: holding.held || holding.dormant ? 'waiting' : 'open',
      endedAt: 0,
    };
    holding.connections.push(connection);
    if (holding.dormant) for (const { wake } of holding.listeners) wake?.();
    return connection;
  }

  /** Either side ends it. */
  close(connection: SimulatedConnection): void {
    if (connection.state === 'closed') return;
    // Whoever only waited was never the guest's.
    if (connection.state === 'open') connection.endedAt = this.#now();
    connection.state = 'closed';
  }

  traffic(dir: string): PortTraffic[] {
    const all = new Map<string, PortTraffic>();
    for (const { guestPort, peer, state, endedAt } of this.#holdings.get(dir)?.connections ?? []) {
      if (state === 'waiting' || (state === 'closed' && endedAt === 0)) continue;
      const key = `${guestPort} ${peer}`;
      const one = all.get(key) ?? { guestPort, peer, open: 0, quietMs: Number.MAX_SAFE_INTEGER };
      one.open += state === 'open' ? 1 : 0;
      one.quietMs = Math.min(one.quietMs, state === 'open' ? 0 : this.#now() - endedAt);
      all.set(key, one);
    }
    return [...all.values()];
  }

  hold(dir: string, keep: boolean): PortTraffic[] {
    const holding = this.#holdings.get(dir);
    if (holding !== undefined) Object.assign(holding, { held: true, keep });
    return this.traffic(dir).filter(({ open }) => open > 0);
  }

  letThrough(dir: string): void {
    const holding = this.#holdings.get(dir);
    if (holding === undefined) return;
    Object.assign(holding, { held: false, keep: false });
    for (const connection of holding.connections) {
      if (connection.state === 'waiting') connection.state = 'open';
    }
  }

  /** @throws VivError `port_in_use`. */
  dormant(dir: string, { ports, detached }: DormantSpec): DormantPorts {
    let holding = this.#holdings.get(dir);
    if (holding === undefined) {
      const bound = ports.map((port) => this.#bindOne({ ...port, binding: 'required' }, dir));
      holding = this.#hold(dir, bound, { held: true, dormant: true, detached, connections: [] });
    }
    return this.#listen(holding);
  }

  /** Where somebody holds ports and no machine lives. */
  get dormantDirs(): string[] {
    return [...this.#holdings.values()].filter(({ dormant }) => dormant).map(({ dir }) => dir);
  }

  /** Whoever was told of traffic is no more; with it go ports that were to end with it. */
  forgetListeners(): void {
    for (const holding of this.#holdings.values()) {
      holding.listeners.clear();
      if (holding.dormant && !holding.detached) this.#giveUp(holding);
    }
  }

  /** The host reboots. */
  loseAll(): void {
    for (const holding of this.#holdings.values()) this.#giveUp(holding);
  }

  #listen(holding: Holding): DormantPorts {
    const listener: Listener = { wake: undefined, ended: Promise.withResolvers<void>() };
    holding.listeners.add(listener);
    const waiting = () => holding.connections.filter(({ state }) => state === 'waiting');
    const leave = () => {
      holding.listeners.delete(listener);
      listener.ended.resolve();
    };
    return {
      ended: listener.ended.promise,
      onTraffic(wake) {
        listener.wake = wake;
        if (waiting().length > 0) wake();
      },
      drop: async () => {
        for (const connection of waiting()) this.close(connection);
      },
      close: async () => {
        if (this.#holdings.get(holding.dir) === holding) this.#giveUp(holding);
        leave();
      },
      async [Symbol.asyncDispose]() {
        leave();
      },
    };
  }

  #hold(
    dir: string,
    bound: MachineRecord['ports'],
    how: Pick<Holding, 'held' | 'dormant' | 'detached' | 'connections'>,
  ): Holding {
    const holding: Holding = { dir, bound, keep: false, listeners: new Set(), ...how };
    this.#holdings.set(dir, holding);
    return holding;
  }

  #giveUp(holding: Holding): void {
    for (const connection of holding.connections) this.close(connection);
    this.#free(holding.bound);
    this.#holdings.delete(holding.dir);
    for (const listener of holding.listeners) listener.ended.resolve();
  }

  #free(ports: MachineRecord['ports']): void {
    for (const { hostAddress, hostPort } of ports) this.#taken.delete(`${hostAddress}:${hostPort}`);
  }

  #bindOne(
    { hostAddress, hostPort, guestPort, binding }: PublishSpec,
    dir: string,
  ): MachineRecord['ports'][number] {
    const owner = this.#taken.get(`${hostAddress}:${hostPort}`);
    const mine = owner !== undefined && owner === dir && this.#holdings.get(dir)?.dormant === true;
    const free = hostPort !== 0 && (owner === undefined || mine);
    if (!free && hostPort !== 0 && binding === 'required') {
      throw new VivError('port_in_use', `Port ${hostPort} on ${hostAddress} is taken`, {
        hint: 'Publish another port, or none in particular.',
        details: { hostAddress, hostPort },
      });
    }
    const port = free ? hostPort : this.#freePort(hostAddress);
    this.#taken.set(`${hostAddress}:${port}`, dir);
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
