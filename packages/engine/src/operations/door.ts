import { VivError } from '@vivarium/model';
import type { Journal, Outcome } from '../store/journal.ts';
import type { InstanceRecord } from '../store/record.ts';
import { type Caller, Operation } from './operation.ts';

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

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Resolves when nothing is under way any more. */
  async quiet(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running].map((operation) => operation.ended));
  }

  /** Ends what is under way; each is undone as far as it has come. */
  interruptAll(by: string): void {
    for (const operation of this.#running) operation.interrupt(by);
  }

  /** What is under way is never going to end, because what it waits for is gone: a test has killed it. */
  forgetAll(): void {
    for (const operation of this.#running) operation.forget();
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
        if (!request.interrupts?.includes(holder.action)) throw busy(instance, holder);
        holder.interrupt(request.action);
      }
      await holder.ended;
    }
    request.signal?.throwIfAborted();
    const nothing = request.check?.();
    if (nothing !== undefined) return nothing.answer;

    const operation = new Operation(request.action, key, request.deadlineMs);
    instance.operation = operation;
    this.#running.add(operation);
    operation.settle(this.#drive(instance, operation, body));
    return operation.join<T>(request);
  }

  async #drive<T>(
    instance: Holdable,
    operation: Operation,
    body: (operation: Operation) => Promise<T>,
  ): Promise<T> {
    try {
      this.#journal.begin(
        {
          id: operation.id,
          instanceId: instance.id,
          action: operation.action,
          startedAt: operation.startedAt,
        },
        instance.record,
      );
      instance.operationChanged(operation, 'begun');
      const result = await body(operation);
      operation.reverter.disarm();
      this.#end(instance, operation, 'done');
      return result;
    } catch (thrown) {
      const reason = operation.signal.aborted ? operation.signal.reason : thrown;
      const error = VivError.from(isCancellation(thrown) ? reason : thrown);
      const failures = await operation.reverter.revert();
      for (const failure of failures) {
        instance.latch(
          new VivError('internal', `${operation.action} failed and could not be undone: ${failure.what}`, {
            hint: 'Force a stop, or delete the instance.',
            details: {
              operation: operation.action,
              undo: failure.what,
              undoError: String(failure.error),
              error: error.toJSON(),
            },
            cause: failure.error,
          }),
        );
      }
      this.#end(instance, operation, failures.length === 0 ? 'undone' : 'failed', error);
      throw error;
    } finally {
      instance.operation = undefined;
      this.#running.delete(operation);
    }
  }

  #end(instance: Holdable, operation: Operation, outcome: Outcome, error?: VivError): void {
    this.#journal.end(
      operation.id,
      instance.id,
      outcome,
      instance.gone ? undefined : instance.record,
      error?.toJSON(),
    );
    instance.operationChanged(operation, outcome, error);
  }
}

/** True for what an aborted signal makes other code throw; the reason behind it says more. */
function isCancellation(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'AbortError' || (error instanceof VivError && error.code === 'cancelled'))
  );
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
