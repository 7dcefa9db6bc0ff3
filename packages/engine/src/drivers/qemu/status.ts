import type { MachineStatus } from '../driver.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';

/** QEMU's run states, as `query-status` names them. */
const runStates: Record<string, MachineStatus> = {
  running: 'running',
  suspended: 'running', // the guest sleeps (ACPI S3)
  prelaunch: 'created',
  preconfig: 'created',
  inmigrate: 'created',
  paused: 'paused',
  debug: 'paused',
  'io-error': 'paused',
  'save-vm': 'paused',
  'restore-vm': 'paused',
  'finish-migrate': 'paused',
  postmigrate: 'paused',
  colo: 'paused',
  watchdog: 'paused',
  shutdown: 'shutdown',
  'guest-panicked': 'panicked',
  'internal-error': 'panicked',
};

/** Of an answer to `query-status`. A run state of a newer QEMU that is not in the table counts as frozen. */
export function statusFrom(answer: unknown): MachineStatus {
  const { status, running } = (answer ?? {}) as { status?: unknown; running?: unknown };
  return runStates[String(status)] ?? (running === true ? 'running' : 'paused');
}

/** Turns QEMU's events into changes of status, each told once. */
export class StatusWatch {
  readonly #listeners = new Set<(status: MachineStatus) => void>();
  #last: MachineStatus;
  #guestIsOff = false;
  #held: MachineStatus | undefined;

  constructor(status: MachineStatus) {
    this.#last = status;
    this.#guestIsOff = status === 'shutdown';
  }

  follow(qmp: QmpClient): void {
    qmp.onEvent((event) => this.#take(event));
  }

  subscribe(listener: (status: MachineStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells of nothing but the end until the work is done, and then of what is different: a save's pause is no pause of the VM. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    this.#held = this.#last;
    try {
      return await work();
    } finally {
      const now = this.#held;
      this.#held = undefined;
      this.#tell(now);
    }
  }

  ended(): void {
    this.#tell('exited');
  }

  close(): void {
    this.#listeners.clear();
  }

  /** SHUTDOWN comes first, and STOP only where the VMM is kept. */
  #take(event: QmpEvent): void {
    if (event.name === 'SHUTDOWN') this.#guestIsOff = true;
    if (event.name === 'RESET') this.#guestIsOff = false;
    if (event.name === 'GUEST_PANICKED') this.#tell('panicked');
    if (event.name === 'STOP') this.#tell(this.#guestIsOff ? 'shutdown' : 'paused');
    if (event.name === 'RESUME') {
      this.#guestIsOff = false;
      this.#tell('running');
    }
  }

  #tell(status: MachineStatus): void {
    if (this.#held !== undefined && status !== 'exited') {
      this.#held = status;
      return;
    }
    if (this.#last === 'exited' || this.#last === status) return;
    this.#last = status;
    for (const listener of [...this.#listeners]) listener(status);
  }
}
