import { EventEmitter } from 'node:events';
import path from 'node:path';
import type { State } from '@vivarium/lifecycle';
import type { HealthStatus, LimitEffect, VivError } from '@vivarium/model';
import type { Machine, MachineStatus } from '../drivers/driver.ts';
import type { Guest, WorkloadExit } from '../guest/guest.ts';
import type { Holdable } from '../operations/door.ts';
import type { Operation } from '../operations/operation.ts';
import { Uses } from '../standby/uses.ts';
import { type EventLog, noteEvent } from '../store/events.ts';
import type { Outcome } from '../store/journal.ts';
import type { InstanceRecord } from '../store/record.ts';
import { Readers } from './readers.ts';
import type { Standstill } from './standstill.ts';

type Transient =
  | 'Cloning'
  | 'Starting'
  | 'Initializing'
  | 'Stopping'
  | 'Suspending'
  | 'Restoring'
  | 'Deleting';

const stateOfMachine: Record<MachineStatus, State> = {
  created: 'Created',
  running: 'Running',
  paused: 'Paused',
  shutdown: 'Shutdown',
  // The VMM of a panicked guest is on its way out; until it is gone the guest is off and the VMM alive.
  panicked: 'Shutdown',
  exited: 'Stopped',
};

/** One instance in memory: its record, the machine that was observed, and what is being done with it. */
export class Instance implements Holdable {
  record: InstanceRecord;
  operation: Operation | undefined;
  /** The live VMM; undefined where there is none. */
  machine: Machine | undefined;
  /** The agent, as long as its channel holds. */
  guest: Guest | undefined;
  /** The end of the image's own process, where its agent told of it. */
  workloadExit: WorkloadExit | undefined;
  /** What holds a paused guest's channel back. */
  still: Standstill | undefined;
  /** How the VM is being ended, when it is being ended by us. */
  ending: 'stopped' | 'killed' | undefined;
  gone = false;
  /** What its health checks have found; replaced, never written to. */
  health: HealthStatus | undefined;
  /** A VMM may be there that could not be looked at: nothing may be removed before it was. */
  sought = false;
  /** Restarts under way, which keep an instance that is otherwise removed at its end. */
  restarts = 0;
  /** Room for a VMM is kept for it, which is not there yet. */
  reserved = false;
  readonly readers = new Readers();
  readonly uses = new Uses();
  /** What is kept of its limits, as long as it has a VMM. */
  effects: readonly LimitEffect[] = [];

  readonly dir: string;
  readonly #events: EventLog;
  readonly #changes = new EventEmitter<{ change: [State]; health: [] }>().setMaxListeners(0);
  #transient: Transient | undefined;
  #machineStatus: MachineStatus | undefined;
  #unknown: VivError | undefined;
  #announced: State;
  #machineGone = Promise.withResolvers<void>();

  constructor(record: InstanceRecord, instancesDir: string, events: EventLog) {
    this.record = record;
    this.dir = path.join(instancesDir, record.id);
    this.#events = events;
    this.#announced = this.state;
  }

  /** The operation that others have to wait for. */
  get held(): Operation | undefined {
    return this.operation?.yields ? undefined : this.operation;
  }

  get id(): string {
    return this.record.id;
  }

  /** What is, as far as anyone has looked: kept true by the watchers of the machine, so reading it costs nothing. */
  get state(): State {
    if (this.gone) return 'Deleted';
    if (this.#transient !== undefined) return this.#transient;
    if (this.record.error !== undefined) return 'Error';
    if (this.#unknown !== undefined) return 'Unknown';
    if (this.machine === undefined) {
      if (this.record.suspended !== undefined) return 'Suspended';
      return this.record.phase === 'defined' ? 'Defined' : 'Stopped';
    }
    const state = stateOfMachine[this.#machineStatus ?? 'created'];
    return state === 'Running' && this.guest === undefined ? 'Initializing' : state;
  }

  /** Why the state is Error or Unknown. */
  get stateError(): VivError | InstanceRecord['error'] {
    return this.record.error ?? this.#unknown;
  }

  /** The state until {@link Instance.leave}, whatever the machine says meanwhile. */
  enter(state: Transient): void {
    this.#transient = state;
    this.announce();
  }

  /** From here on the state is what is observed. */
  leave(): void {
    this.#transient = undefined;
    this.announce();
  }

  observeMachine(machine: Machine | undefined, status?: MachineStatus): void {
    // One that is found again can be seen again.
    if (this.machine !== machine) this.#unknown = undefined;
    this.machine = machine;
    this.#machineStatus = machine === undefined ? undefined : status;
    if (machine === undefined) {
      this.#unknown = undefined;
      this.#machineGone.resolve();
      this.#machineGone = Promise.withResolvers();
    }
    this.announce();
  }

  /** Resolves once the VMM has exited *and* its exit has been written down. */
  async machineGone(machine: Machine): Promise<void> {
    if (this.machine === machine) await this.#machineGone.promise;
  }

  observeGuest(guest: Guest | undefined): void {
    this.guest = guest;
    if (guest !== undefined) this.#unknown = undefined;
    this.announce();
  }

  /** The machine is there, and nobody can say what it does. Heals when it answers again. */
  observeNothing(why: VivError): void {
    this.#unknown = why;
    this.announce();
  }

  latch(error: VivError): void {
    this.record = { ...this.record, error: error.toJSON() };
    this.announce();
  }

  change(change: Partial<InstanceRecord>): void {
    this.record = { ...this.record, ...change };
  }

  emit(type: string, data: Record<string, unknown>): void {
    noteEvent(this.#events, { id: this.id, name: this.record.name }, type, data);
  }

  /** Tells of the state when it is not the one told of last. */
  announce(): void {
    const { state } = this;
    if (state === this.#announced) return;
    const from = this.#announced;
    this.#announced = state;
    const error = this.stateError;
    this.emit('state', {
      from,
      to: state,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    });
    this.#changes.emit('change', state);
  }

  operationChanged(operation: Operation, outcome: Outcome | 'begun', error?: VivError): void {
    if (outcome !== 'begun') this.leave();
    this.emit('operation', {
      id: operation.id,
      action: operation.action,
      outcome,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    });
  }

  observeHealth(health: HealthStatus | undefined): void {
    if (health === this.health) return;
    this.health = health;
    this.#changes.emit('health');
  }

  /** Called whenever its health was looked at, until the returned function is called. */
  onHealth(listener: () => void): () => void {
    this.#changes.on('health', listener);
    return () => this.#changes.off('health', listener);
  }

  /** Called with each new state until the returned function is called. */
  onChange(listener: (state: State) => void): () => void {
    this.#changes.on('change', listener);
    return () => this.#changes.off('change', listener);
  }
}
