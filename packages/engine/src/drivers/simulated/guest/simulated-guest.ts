import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Request, WireStream } from '@vivarium/protocol';
import type { DiskSpec } from '../../driver.ts';
import { AgentPort, type PortOwner } from './agent-port.ts';
import { bulkMethods } from './bulk-methods.ts';
import { realClock, type SimulatedClock } from './clock.ts';
import { controlMethods } from './control-methods.ts';
import { Refusal } from './file-tree.ts';
import { type Flood, GuestFaults } from './guest-faults.ts';
import { decodeMemory, encodeMemory } from './guest-memory.ts';
import { GuestSystem } from './guest-system.ts';
import { portPair } from './port-pair.ts';
import type { Program } from './programs.ts';

export interface SimulatedGuestOptions {
  /** Programs beside the built-in ones, by name; they win over those. */
  programs?: Readonly<Record<string, Program>>;
  /** Default: the host's time and unreferenced timers. */
  clock?: SimulatedClock;
  /** The guest has switched itself off. Called once. */
  onPowerOff?: () => void;
  /** Lines of the log port, in its format. */
  onLog?: (lines: string) => void;
  /** Default `0.1.0`. */
  agentVersion?: string;
  memoryBytes?: number;
  /** Volumes that are plugged in. Default none. */
  disks?: ReadonlyMap<string, DiskSpec>;
  /** What {@link SimulatedGuest.save} gave. The guest goes on from there once its vCPUs run. */
  memory?: Uint8Array;
}

/** How a method of one port is done. Answers the result, or undefined where it has answered by itself. */
export type Method = (call: MethodCall) => object | undefined | Promise<object | undefined>;

export interface MethodCall {
  readonly guest: SimulatedGuest;
  readonly system: GuestSystem;
  readonly port: AgentPort;
  readonly stream: WireStream;
  readonly params: Request['params'];
}

type PortName = 'control' | 'bulk';

/**
 * A guest and its agent in this process: speaks the protocol of docs/protocol.md over in-process ports, runs scripted
 * programs and keeps files in memory. A new connection to a port ends the one before; sessions live on.
 */
export class SimulatedGuest {
  readonly faults = new GuestFaults();
  readonly system: GuestSystem;
  readonly bootId: string;
  readonly #options: SimulatedGuestOptions;
  readonly #ports: Partial<Record<PortName, AgentPort>> = {};
  #off = false;

  constructor(options: SimulatedGuestOptions = {}) {
    this.#options = { ...options, memory: undefined };
    const outside = {
      programs: options.programs ?? {},
      clock: options.clock ?? realClock,
      memoryBytes: options.memoryBytes ?? 256 * 1024 * 1024,
      log: (lines: string) => options.onLog?.(lines),
      event: (name: string, fields: object) => this.#ports.control?.event(0, name, fields),
      powerOff: () => this.#powerOff(),
      disks: options.disks ?? new Map(),
    };
    const memory = options.memory && decodeMemory(options.memory);
    this.bootId = memory?.bootId ?? randomUUID();
    this.system = memory === undefined ? new GuestSystem(outside) : GuestSystem.from(outside, memory);
  }

  /** All of it, by value. @throws Error where a process can't be kept. */
  save(): Uint8Array {
    return encodeMemory({ bootId: this.bootId, ...this.system.save() });
  }

  setRunning(running: boolean): void {
    if (running) this.system.go();
    else this.system.halt();
  }

  /** The host's end of a port. */
  connect(channel: PortName): Duplex {
    const [host, guest] = portPair();
    this.#ports[channel]?.close();
    if (this.#off) guest.destroy();
    else this.#ports[channel] = new AgentPort(guest, this.#owner(channel));
    return host;
  }

  /** The port as a broken or hostile guest has it. Undefined while nobody is connected. */
  port(channel: PortName): AgentPort | undefined {
    return this.#ports[channel];
  }

  /** Ends a port as a lost connection does. Everything in the guest goes on. */
  drop(channel: PortName): void {
    this.#ports[channel]?.close();
  }

  /** Floods a port until the host closes it. */
  async flood(channel: PortName, kind: Flood): Promise<void> {
    await this.#ports[channel]?.flood(kind);
  }

  /** The power is gone: everything ends, at once, and nobody is told. */
  end(): void {
    if (this.#off) return;
    this.#off = true;
    this.system.end();
    for (const port of Object.values(this.#ports)) port.close();
  }

  #powerOff(): void {
    if (this.#off) return;
    this.end();
    this.#options.onPowerOff?.();
  }

  #owner(channel: PortName): PortOwner {
    const methods = channel === 'control' ? controlMethods : bulkMethods;
    return {
      faults: this.faults,
      welcome: () => ({
        agent: this.#options.agentVersion ?? '0.1.0',
        bootId: this.bootId,
        generation: this.system.generation,
        features: [],
      }),
      request: (port, stream, request) => this.#call(methods, port, stream, request),
    };
  }

  #call(
    methods: Readonly<Record<string, Method | undefined>>,
    port: AgentPort,
    stream: WireStream,
    request: Request,
  ): void {
    const { faults } = this;
    if (faults.silent.has(request.method)) return;
    const error = faults.errors.get(request.method);
    if (error !== undefined) {
      port.fail(stream, error);
      return;
    }
    const run = () =>
      answer(methods[request.method], {
        guest: this,
        system: this.system,
        port,
        stream,
        params: request.params,
      });
    const delay = faults.delays.get(request.method);
    if (delay === undefined) run();
    else void (this.#options.clock ?? realClock).sleep(delay).then(run);
  }
}

/** Runs a method in the turn in which its request came, so that what follows finds it done. */
function answer(method: Method | undefined, call: MethodCall): void {
  const { port, stream } = call;
  const refuse = (error: unknown) => {
    if (error instanceof Refusal) port.fail(stream, error.wire);
    else
      port.fail(stream, {
        code: 'invalid_request',
        message: error instanceof Error ? error.message : String(error),
      });
  };
  const done = (result: object | undefined) => {
    if (result === undefined) return;
    port.respond(stream, result);
    stream.release();
  };
  try {
    if (method === undefined) throw new Refusal('not_supported', 'this agent has no such method');
    const result = method(call);
    if (result instanceof Promise) result.then(done, refuse);
    else done(result);
  } catch (error) {
    refuse(error);
  }
}
