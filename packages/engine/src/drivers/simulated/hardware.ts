import type { Duplex } from 'node:stream';
import type { DiskSpec, MachineSpec } from '../driver.ts';

/** What a simulated guest finds around it. */
export interface Hardware {
  readonly spec: MachineSpec;
  /** Volumes that are plugged in at this moment, by serial. */
  readonly volumes: ReadonlyMap<string, DiskSpec>;
  /** The guest switches itself off. */
  powerOff(): void;
  /** The guest kernel panics. */
  panic(message: string): void;
  /** Text on the serial line. */
  print(text: string): void;
  /** Bytes on the log port: whole lines in the format of docs/protocol.md. */
  log(lines: string | Uint8Array): void;
}

/** A guest that lives in this process. It is made when its machine boots. */
export interface InProcessGuest {
  /** The guest's half is the other side: what is written here, the agent reads. */
  connect(channel: 'control' | 'bulk'): Duplex;
  /** The power is gone. */
  end(): void;
  /** The vCPUs run, or stand still. */
  setRunning?(running: boolean): void;
  /** All that is in its memory, by value. Without it the machine can't be saved. @throws Error */
  save?(): Uint8Array;
}

/** `memory`: what another one was saved as. It stands still until it is told that its vCPUs run. */
export type MakeGuest = (hardware: Hardware, memory?: Uint8Array) => InProcessGuest;
