import type { Duplex } from 'node:stream';
import type { MachineSpec } from '../driver.ts';

/** What a simulated guest finds around it. */
export interface Hardware {
  readonly spec: MachineSpec;
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
}

export type MakeGuest = (hardware: Hardware) => InProcessGuest;
