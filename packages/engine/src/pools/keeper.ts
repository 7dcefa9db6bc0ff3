import { abortReason, type CallOptions, type PoolInfo, VivError, type Vm } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { referenceOf } from '../instances/create.ts';
import type { Instance } from '../instances/instance.ts';
import type { MarkedCall } from '../requests/request.ts';
import { noteEvent } from '../store/events.ts';
import { EngineVm } from '../vm.ts';
import { OwnTimers, type PoolClock } from './clock.ts';
import { discard } from './discard.ts';
import { brief, Filler, type FillListener, type PoolParts } from './filler.ts';
import { handOut, markReplaced } from './hand-out.ts';
import { PoolLog } from './log.ts';
import { diedByItself, hasEnded, type Member, type MemberListener, Members } from './members.ts';
import type { PoolRecord } from './record.ts';
import { stageOn, stages } from './stages.ts';
import { type Waiter, Waiters } from './waiters.ts';
import { Work } from './work.ts';

/** VMs that may turn out unfit before the one who wants one is told. */
const mostUnfit = 3;
/** Milliseconds. A VM that ends by itself sooner was not made well. */
const youngMs = 60_000;

/** What no repetition mends: the pool asks for something that is not there. */
const hopeless: ReadonlySet<string> = new Set([
  ...['image_not_found', 'image_invalid', 'image_hostile', 'registry_denied', 'not_supported'],
  ...['command_not_found', 'command_not_executable', 'user_not_found', 'path_not_found'],
]);

/**
 * Keeps one pool as it should be. Whatever changes ends in {@link PoolKeeper.tend}, which is synchronous: it looks at what
 * there is and begins what is missing. Nothing is held while a VM is made, started or deleted.
 */
export class PoolKeeper implements MemberListener, FillListener {
  record: PoolRecord;
  /** Settles with the first VM that is ready, or with why there can't be one. */
  readonly first = Promise.withResolvers<void>();
  readonly #parts: PoolParts;
  readonly #timers: OwnTimers;
  readonly #stop = new AbortController();
  readonly #members: Members;
  readonly #filler: Filler;
  readonly #waiters = new Waiters();
  #begun = false;
  #dead = false;
  #halted: VivError | undefined;
  #full = false;

  constructor(context: Context, record: PoolRecord, clock: PoolClock) {
    this.record = record;
    this.#timers = new OwnTimers(clock);
    const stage = stages[stageOn(context.driver.capabilities(), record.stage)];
    this.#parts = {
      context,
      clock: this.#timers,
      log: new PoolLog(
        record.name,
        () => clock.now(),
        ({ type, instanceId, data }) =>
          noteEvent(context.events, { kind: 'pool', id: record.id, name: record.name }, type, {
            ...data,
            ...(instanceId === undefined ? {} : { instanceId }),
          }),
      ),
      stage,
      work: new Work((error) => this.#filler.failed(error)),
      stop: this.#stop.signal,
    };
    this.#members = new Members(stage, this.#timers, record.creationTimeoutMs, this);
    this.#filler = new Filler(this.#parts, record, this);
    // Most pools have nobody who waits for their first VM.
    this.first.promise.catch(() => undefined);
  }

  get log(): PoolLog {
    return this.#parts.log;
  }

  get info(): PoolInfo {
    const { name, vm, size, stage, createdAt } = this.record;
    const { lastError } = this.#filler;
    return {
      name,
      image: referenceOf(vm.image),
      size,
      stage: stageOn(this.#parts.context.driver.capabilities(), stage),
      ready: this.#members.ready().length,
      creating: this.#filler.making,
      acquired: this.#members.count('acquired', 'handing'),
      health: lastError !== undefined ? 'failing' : this.#isFull() ? 'full' : 'filling',
      ...(lastError === undefined ? {} : { lastError }),
      createdAt,
    };
  }

  /** Takes back what a predecessor had made, and fills. */
  begin(onProgress?: CallOptions['onProgress']): void {
    this.#filler.onProgress = onProgress;
    for (const instance of this.instances()) this.#adopt(instance);
    this.#begun = true;
    this.tend();
  }

  /** All that were ever made for the pool and are still there. */
  instances(): Instance[] {
    return [...this.#parts.context.instances.all()].filter(
      ({ record }) => record.pool?.id === this.record.id,
    );
  }

  #adopt(instance: Instance): void {
    const { pool } = instance.record;
    if (pool?.acquiredAt === undefined) {
      // Whatever it is, it was not made by us: its end says nothing of how VMs are made now.
      this.#members.look(this.#members.add(instance, 'ready', Number.NEGATIVE_INFINITY));
    } else if (pool.replaced === undefined) {
      this.#members.look(this.#members.add(instance, 'acquired'));
    }
  }

  #isFull(): boolean {
    return this.#members.ready().length + this.#members.count('acquired', 'handing') >= this.record.size;
  }

  /**
   * The VM that a request with an idempotency key was given by a predecessor, brought to Running. Undefined where it was given none, or
   * one that it can have no use of.
   */
  async givenTo({ request, ...call }: MarkedCall): Promise<Vm | undefined> {
    const instance = this.instances().find(({ record: { pool } }) => pool?.request === request);
    if (instance === undefined) return undefined;
    const vm = new EngineVm(this.#parts.context, instance);
    const runs = () => instance.state === 'Running';
    if (runs()) return vm;
    try {
      await this.#parts.stage.wake(vm, call);
      if (runs()) return vm;
    } catch (error) {
      this.log.add('lost', { state: instance.state, error: brief(VivError.from(error)) }, instance.id);
    }
    await discard(this.#parts.context, instance);
    return undefined;
  }

  tend(): void {
    if (!this.#begun || this.#dead || this.#stop.signal.aborted) return;
    this.#serve();
    this.#filler.fill(this.record.size - this.#members.size - this.#filler.making);
    const full = this.#isFull();
    if (full && !this.#full) this.log.add('full', { size: this.record.size });
    this.#full = full;
  }

  async acquire({ signal, request }: MarkedCall): Promise<Vm> {
    if (this.#halted !== undefined) throw this.#halted;
    const waiter = this.#waiters.join(signal, request);
    this.tend();
    if (this.#waiters.includes(waiter)) {
      this.log.add('waiting', { waiting: this.#waiters.size });
      this.#filler.hurry();
    }
    return waiter.promise;
  }

  /** Everyone who waits gets the oldest VM that is ready, in the order in which they came. */
  #serve(): void {
    const free = this.#members.ready();
    // One that is being renamed is as good as the others, later.
    const held = ({ instance }: Member) => Number(instance.held !== undefined);
    for (const member of free.toSorted((a, b) => held(a) - held(b))) {
      const waiter = this.#waiters.take();
      if (waiter === undefined) return;
      member.part = 'handing';
      this.#parts.work.begin(this.#hand(member, waiter));
    }
  }

  async #hand(member: Member, waiter: Waiter): Promise<void> {
    const { stop } = this.#parts;
    const signal = waiter.signal === undefined ? stop : AbortSignal.any([stop, waiter.signal]);
    const outcome = await handOut(this.#parts, member.instance, { signal, request: waiter.request });
    if (this.#dead) return;
    member.part = outcome.marked ? 'acquired' : 'ready';
    if (outcome.vm !== undefined) waiter.resolve(outcome.vm);
    else if (signal.aborted) waiter.reject(abortReason(signal));
    else if (outcome.marked || this.#isLost(member)) this.#unfit(waiter, outcome.error);
    else waiter.reject(outcome.error);
    if (outcome.vm === undefined && outcome.marked) await this.#giveUp(member, outcome.error, signal.aborted);
    else this.#members.look(member);
    this.tend();
  }

  #isLost({ instance }: Member): boolean {
    return instance.state !== this.#parts.stage.state;
  }

  #unfit(waiter: Waiter, error: VivError): void {
    waiter.unfit += 1;
    if (waiter.unfit < mostUnfit) this.#waiters.putBack(waiter);
    else waiter.reject(error);
  }

  /** It is marked and nobody has got it. */
  async #giveUp(member: Member, error: VivError, cancelled: boolean): Promise<void> {
    const { id, state } = member.instance;
    if (cancelled) this.log.add('released', { reason: 'cancelled' }, id);
    else {
      this.log.add('lost', { state, error: brief(error) }, id);
      this.#filler.relapsed(error);
    }
    await this.#leave(member);
  }

  /** Deletes a member, or keeps it in its place until it can be. */
  async #leave(member: Member): Promise<void> {
    if (this.#dead) return;
    member.part = 'leaving';
    member.stuck = false;
    try {
      await discard(this.#parts.context, member.instance);
      this.#members.drop(member);
    } catch (thrown) {
      member.stuck = true;
      if (!this.#dead && !this.#stop.signal.aborted) this.#filler.failed(VivError.from(thrown));
    }
    this.tend();
  }

  made(instance: Instance): void {
    const member = this.#members.add(instance, 'ready');
    this.log.add('ready', {}, instance.id);
    this.first.resolve();
    this.#members.look(member);
    this.tend();
  }

  remains(instance: Instance): Promise<void> {
    return this.#leave(this.#members.add(instance, 'leaving'));
  }

  failed(error: VivError): void {
    if (hopeless.has(error.code)) this.first.reject(error);
    this.tend();
  }

  due(): void {
    for (const member of this.#members.stuck()) this.#parts.work.begin(this.#leave(member));
    this.tend();
  }

  readyAgain(): void {
    this.tend();
  }

  lost(member: Member): void {
    if (this.#dead || this.#stop.signal.aborted) return;
    const { instance, readyAt } = member;
    const { state, record } = instance;
    const adopted = readyAt === Number.NEGATIVE_INFINITY;
    const neverRan = adopted && state === 'Stopped' && record.exit === undefined;
    const why = { state, ...(record.exit === undefined ? {} : { exit: record.exit }) };
    if (neverRan) this.log.add('creation-cancelled', { name: record.name, by: 'restart' }, instance.id);
    else this.log.add('lost', why, instance.id);
    if ((state === 'Error' || diedByItself(instance)) && this.#timers.now() - readyAt < youngMs) {
      this.#filler.relapsed(
        new VivError('vmm_failed', `${record.name} did not last: it is ${state}`, { details: why }),
      );
    }
    this.#parts.work.begin(this.#leave(member));
  }

  returned({ instance }: Member): void {
    const reason = instance.gone ? 'deleted' : 'ended';
    this.log.add('released', { reason }, instance.id);
    if (hasEnded(instance) && !instance.gone) markReplaced(this.#parts.context, instance);
    this.tend();
  }

  /** Begins nothing any more, sends away whoever waits, and takes back what is being made. `later`: what is told to those who come now. */
  async halt(reason: VivError, later: VivError = reason): Promise<void> {
    this.#halted = later;
    this.#stop.abort(reason);
    this.#members.unwatch();
    this.#waiters.rejectAll(reason);
    this.first.reject(reason);
    await this.#parts.work.settled();
    this.#members.unwatch();
    this.#timers[Symbol.dispose]();
  }

  /** As a kill would: nothing is done any more, and nobody is told. */
  abandon(): void {
    this.#dead = true;
    this.#members.unwatch();
    this.#timers[Symbol.dispose]();
    this.log.end();
  }
}
