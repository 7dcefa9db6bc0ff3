import { isTransient } from '@vivarium/lifecycle';
import type { Instance } from '../instances/instance.ts';
import type { PoolClock } from './clock.ts';
import type { Stage } from './stages.ts';

/**
 * `ready`: may be handed out, as soon as its state says so. `handing`: being handed out. `acquired`: somebody's.
 * `leaving`: being deleted.
 */
export type Part = 'ready' | 'handing' | 'acquired' | 'leaving';

/** A VM that has a place in the pool. */
export interface Member {
  readonly instance: Instance;
  part: Part;
  /** Milliseconds since 1970. */
  readonly readyAt: number;
  /** Its deletion failed and waits to be tried again. */
  stuck: boolean;
  /** Ends the time that it has to be in its state again. */
  doubt: Disposable | undefined;
  unwatch(): void;
}

export interface MemberListener {
  /** One may be ready that was not. */
  readyAgain(): void;
  /** It was ready, and will not be again by itself. */
  lost(member: Member): void;
  /** It was acquired, and is gone or has ended by itself. It has no place any more. */
  returned(member: Member): void;
}

/** The VMs of one pool, each watched. One is here from when it is made until it is gone, or has ended in other hands. */
export class Members {
  readonly #stage: Stage;
  readonly #clock: PoolClock;
  readonly #patienceMs: number;
  readonly #listener: MemberListener;
  readonly #members = new Set<Member>();

  /** `patienceMs`: how long a ready VM may be Unknown, or in an operation of somebody's, before it is lost. */
  constructor(stage: Stage, clock: PoolClock, patienceMs: number, listener: MemberListener) {
    this.#stage = stage;
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#listener = listener;
  }

  get size(): number {
    return this.#members.size;
  }

  count(...parts: Part[]): number {
    return [...this.#members].filter(({ part }) => parts.includes(part)).length;
  }

  /** Those that can be handed out at once, oldest first. */
  ready(): Member[] {
    return [...this.#members].filter(
      ({ part, instance }) => part === 'ready' && instance.state === this.#stage.state,
    );
  }

  stuck(): Member[] {
    return [...this.#members].filter(({ stuck }) => stuck);
  }

  add(instance: Instance, part: Part, readyAt = this.#clock.now()): Member {
    const member: Member = {
      instance,
      part,
      readyAt,
      stuck: false,
      doubt: undefined,
      unwatch: instance.onChange(() => this.look(member)),
    };
    this.#members.add(member);
    return member;
  }

  /** Judges a member by the state it is in. */
  look(member: Member): void {
    if (!this.#members.has(member)) return;
    if (member.part === 'ready') this.#lookAtReady(member);
    else if (member.part === 'acquired' && hasEnded(member.instance)) {
      this.drop(member);
      this.#listener.returned(member);
    }
  }

  #lookAtReady(member: Member): void {
    const { state, operation } = member.instance;
    if (state === this.#stage.state) {
      endDoubt(member);
      this.#listener.readyAgain();
    } else if (operation !== undefined || isTransient(state) || state === 'Unknown') {
      // A copy stops its source for a moment. Where an operation ends changes no state, and tells nobody.
      void operation?.ended.then(() => this.look(member));
      member.doubt ??= this.#clock.after(this.#patienceMs, () => this.#lose(member));
    } else this.#lose(member);
  }

  #lose(member: Member): void {
    endDoubt(member);
    if (member.part === 'ready') this.#listener.lost(member);
  }

  drop(member: Member): void {
    endDoubt(member);
    member.unwatch();
    this.#members.delete(member);
  }

  /** Nobody is watched any more. */
  unwatch(): void {
    for (const member of this.#members) {
      endDoubt(member);
      member.unwatch();
    }
  }
}

function endDoubt(member: Member): void {
  member.doubt?.[Symbol.dispose]();
  member.doubt = undefined;
}

/** Gone, or ended by itself. One that its holder stopped is still his. */
export function hasEnded(instance: Instance): boolean {
  return instance.state === 'Deleted' || (instance.restarts === 0 && diedByItself(instance));
}

/** Not by us: its guest went off, its kernel panicked, its VMM died, or nobody knows. */
export function diedByItself({ state, record: { exit } }: Instance): boolean {
  return state === 'Stopped' && exit !== undefined && exit.reason !== 'stopped' && exit.reason !== 'killed';
}
