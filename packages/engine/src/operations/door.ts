import { VivError } from '@vivarium/model';
import type { Journal, Outcome } from '../store/journal.ts';
import type { InstanceRecord } from '../store/record.ts';
import { Ledger } from './ledger.ts';
import { type Caller, Operation } from './operation.ts';
import type { End } from './tracked.ts';

/** What the door needs of an instance. */
export interface Holdable {
  readonly id: string;
  readonly record: InstanceRecord;
  /** The operation that holds the instance. Only the door writes it. */
  operation: Operation | undefined;
  /** True once nothing of the instance is left to keep a record of. */
  readonly gone: boolean;
  operationChanged(operation: Operation, outcome: Outcome | 'begun', error?: VivError): void;
  /** The instance goes to Error, with the evidence. */
  latch(error: VivError): void;
}

export interface Request<T> extends Caller {
  action: string;
  /** What distinguishes two requests of the same action; equal ones may join. */
  parameters?: unknown;
  /** Whether an equal request joins the one under way instead of being refused. Default false. */
  joins?: boolean;
  /** Actions that give way to this one. */
  interrupts?: readonly string[];
  /** It is of use to nobody in particular, and gives way to whatever else is asked for. Default false. */
  yields?: boolean;
  /** Milliseconds. */
  deadlineMs: number;
  /** Judged with the instance in hand: throws to refuse, or answers what the call answers when nothing is to be done. */
  check?: () => { answer: T } | undefined;
}

/**
 * The one door to an instance. Whoever gets in holds it alone until the operation is done, undone, or failed with
 * its evidence; letting go is not in anybody's hands.
 */
export class OperationDoor {
  readonly #journal: Journal;
  readonly #running = new Set<Operation>();
  #dead = false;
  #admits: ((action: string) => boolean) | undefined;

  readonly #ledger: Ledger;

  constructor(journal: Journal, ledger = new Ledger()) {
    this.#journal = journal;
    this.#ledger = ledger;
  }

  /** Resolves when nothing is under way any more. */
  async quiet(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running].map((operation) => operation.ended));
  }

  /** From here on nothing else is let in: the engine is being closed. */
  admitOnly(...actions: string[]): void {
    this.#admits = (action) => actions.includes(action);
    for (const operation of this.#running)
      if (operation.yields) operation.interrupt('shutdown of the engine');
  }

  /** Ends what is under way; each is undone as far as it has come. */
  interruptAll(by: string): void {
    for (const operation of this.#running) operation.interrupt(by);
  }

  /** What is under way goes no step further, forward or back, and nothing is written of it: a test has killed it. */
  forgetAll(): void {
    this.#dead = true;
    for (const operation of this.#running) {
      operation.forget();
      operation.reverter.disarm();
      operation.interrupt('kill');
    }
  }

  /**
   * @throws VivError `busy` naming the operation that holds the instance, what `check` throws, and what `body`
   * throws, after its steps were taken back.
   */
  async run<T>(
    instance: Holdable,
    request: Request<T>,
    body: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    const key = `${request.action} ${JSON.stringify(request.parameters ?? null)}`;
    for (let holder = instance.operation; holder !== undefined; holder = instance.operation) {
      // One that has been cancelled is only taking its steps back: the way is free as soon as it has.
      if (!holder.signal.aborted) {
        if (request.joins && holder.key === key) return holder.join<T>(request);
        const givesWay = holder.yields ? !request.yields : request.interrupts?.includes(holder.action);
        if (!givesWay) throw busy(instance, holder);
        holder.interrupt(request.action);
      }
      await holder.ended;
    }
    if (request.signal?.aborted) throw cancelled(request);
    if (this.#admits?.(request.action) === false) {
      throw new VivError('cancelled', `No ${request.action} any more: the engine is being closed`);
    }
    const nothing = request.check?.();
    if (nothing !== undefined) return nothing.answer;
    if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);

    const operation = this.#open(instance, key, request);
    instance.operation = operation;
    this.#running.add(operation);
    // Before it begins: its first stages come before it waits for anything.
    const joined = operation.join<T>(request);
    operation.settle(this.#drive(instance, operation, body));
    return joined;
  }

  #open(instance: Holdable, key: string, { action, deadlineMs, yields }: Request<unknown>): Operation {
    const resource = { kind: 'instance', id: instance.id, name: instance.record.name };
    const track = (cancel: (by: string) => void) =>
      this.#ledger.operation(action, resource, { alone: yields === true, cancel });
    return new Operation({ action, key, deadlineMs, yields, track });
  }

  async #drive<T>(
    instance: Holdable,
    operation: Operation,
    body: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    try {
      const { id, action, startedAt, tracked } = operation;
      const parent = tracked.parent?.id;
      this.#journal.begin({ id, instanceId: instance.id, action, startedAt, parent }, instance.record);
      instance.operationChanged(operation, 'begun');
      return await this.#carryOut(instance, operation, body);
    } finally {
      instance.operation = undefined;
      this.#running.delete(operation);
    }
  }

  async #carryOut<T>(
    instance: Holdable,
    operation: Operation,
    body: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    try {
      const result = await body(operation);
      await operation.allDone();
      // Only what is on disk is done: where that can't be written, the steps are taken back as well.
      const at = this.#write(instance, operation, 'done');
      operation.reverter.disarm();
      this.#ended(instance, operation, { outcome: 'done', at });
      return result;
    } catch (thrown) {
      const reason = operation.signal.aborted ? operation.signal.reason : thrown;
      const error = VivError.from(isCancellation(thrown) ? reason : thrown);
      if (this.#dead) throw error;
      // Nothing is made any more when it is taken back. What else has failed is not the reason.
      await operation.allDone().catch(() => undefined);
      const failures = await operation.reverter.revert();
      for (const failure of failures) instance.latch(notUndone(operation, failure, error));
      const outcome = failures.length === 0 ? 'undone' : 'failed';
      let at: string | undefined;
      try {
        at = this.#write(instance, operation, outcome, error);
      } catch (cause) {
        // It stays open in the journal, and whoever opens the data directory next looks where the instance really is.
        if (!this.#dead)
          process.emitWarning(`The end of ${operation.action} could not be journalled: ${String(cause)}`);
      }
      this.#ended(instance, operation, { outcome, error, at });
      throw error;
    }
  }

  #ended(instance: Holdable, operation: Operation, end: End): void {
    instance.operationChanged(operation, end.outcome, end.error);
    this.#ledger.ended(operation.tracked, end);
  }

  #write(instance: Holdable, operation: Operation, outcome: Outcome, error?: VivError): string {
    const record = instance.gone ? undefined : instance.record;
    return this.#journal.end(operation.id, instance.id, outcome, record, error?.toJSON());
  }
}

function notUndone(
  { action }: Operation,
  { what, error: undoError }: { what: string; error: unknown },
  error: VivError,
): VivError {
  return new VivError('internal', `${action} failed and could not be undone: ${what}`, {
    hint: 'Force a stop, or delete the instance.',
    details: { operation: action, undo: what, undoError: String(undoError), error: error.toJSON() },
    cause: undoError,
  });
}

/** True for what an aborted signal makes other code throw; the reason behind it says more. */
function isCancellation(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'AbortError' || (error instanceof VivError && error.code === 'cancelled'))
  );
}

function cancelled({ action, signal }: Request<unknown>): VivError {
  return new VivError('cancelled', `The ${action} was cancelled.`, { cause: signal?.reason });
}

function busy(instance: Holdable, holder: Operation): VivError {
  const { info } = holder;
  const step = info.step === undefined ? '' : `, at "${info.step}"`;
  return new VivError(
    'busy',
    `${instance.record.name} is held by ${info.action} since ${info.startedAt}${step}`,
    {
      hint: 'Wait for it to end, and try again.',
      details: { operation: info },
    },
  );
}
