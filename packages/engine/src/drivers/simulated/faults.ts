import { type ErrorCode, VivError } from '@vivarium/model';

/** What can go wrong at a fault point. */
export type Effect = 'error' | 'hang' | 'crash' | 'delay' | 'panic' | 'ignore';

interface FaultPoint {
  readonly effects: readonly Effect[];
  readonly meaning: string;
}

const always = ['error', 'hang', 'crash', 'delay'] as const;
const boot = ['panic', 'hang', 'crash', 'delay'] as const;

/** Every place where a simulated machine can be made to misbehave, and how. */
export const faultPoints = {
  'launch.before-spawn': { effects: ['error', 'hang', 'delay'], meaning: 'no process exists yet' },
  'launch.after-spawn': { effects: always, meaning: 'shim and VMM exist, nobody was told' },
  'launch.before-ready': { effects: always, meaning: 'the VMM is there, launch has not returned' },
  'boot.kernel': { effects: boot, meaning: 'the guest kernel, before any agent' },
  'boot.init': { effects: boot, meaning: 'the agent as PID 1, before it reads its channel' },
  status: { effects: always, meaning: 'the VMM is asked for its status' },
  pause: { effects: always, meaning: 'the vCPUs are frozen' },
  resume: { effects: always, meaning: 'the vCPUs are let run' },
  powerdown: { effects: [...always, 'ignore'], meaning: 'the power button; ignore: the guest does nothing' },
  'guest-off': { effects: always, meaning: 'the VMM is told what a power-off does' },
  'grow-disk': { effects: always, meaning: 'a disk of a live machine grows' },
  'save.memory': { effects: always, meaning: 'memory is copied while the guest runs' },
  'save.devices': {
    effects: always,
    meaning: 'the vCPUs stand still, and the state of the devices is written',
  },
  'save.update': {
    effects: always,
    meaning: 'memory that has changed meanwhile is written, before the vCPUs run',
  },
  'restore.load': { effects: always, meaning: 'the VMM is there and loads what was saved' },
  'add-layer': { effects: always, meaning: 'a disk of a live machine gets a new top' },
  'plug-volume': { effects: always, meaning: 'a volume is about to be put into a live machine' },
  'unplug-volume': { effects: always, meaning: 'a volume is about to be taken out of a live machine' },
  'top-layer': { effects: always, meaning: 'the VMM is asked which file it writes' },
  kill: {
    effects: ['error', 'hang', 'delay'],
    meaning: 'the VMM is ended by force; hang: it cannot be proven gone',
  },
  'open.control': { effects: always, meaning: 'the control channel is opened' },
  'open.bulk': { effects: always, meaning: 'the bulk channel is opened' },
  'open.console': { effects: always, meaning: 'the console is opened' },
  adopt: {
    effects: ['error', 'hang', 'crash', 'delay'],
    meaning: 'a restarted daemon looks into the directory',
  },
  'exit.unobserved': { effects: ['error'], meaning: 'the shim dies with its VMM: nobody saw how it ended' },
} as const satisfies Record<string, FaultPoint>;

export type FaultPointName = keyof typeof faultPoints;

/** What can go wrong at this point. */
export type EffectAt<Point extends FaultPointName> = (typeof faultPoints)[Point]['effects'][number];

export const allFaultPoints = Object.keys(faultPoints) as readonly FaultPointName[];

/** One thing to go wrong. */
export type Fault =
  | { readonly effect: 'error'; readonly code?: ErrorCode; readonly message?: string }
  /** Nothing happens until the caller's deadline, the end of the machine, or {@link Faults.clear}. */
  | { readonly effect: 'hang' }
  /** The VMM dies. Default SIGSEGV. */
  | { readonly effect: 'crash'; readonly signal?: string }
  | { readonly effect: 'delay'; readonly milliseconds: number }
  /** The guest kernel panics. */
  | { readonly effect: 'panic'; readonly message?: string }
  | { readonly effect: 'ignore' };

export interface Injection {
  /** How often it strikes. Default 1; Infinity for ever. */
  times?: number;
  /** Only this machine. Default: any. */
  dir?: string;
}

interface Planned {
  point: FaultPointName;
  fault: Fault;
  left: number;
  dir: string | undefined;
}

/** What is to go wrong on a simulated host, as data. */
export class Faults {
  #planned: Planned[] = [];
  #cleared = Promise.withResolvers<void>();
  readonly #waiting = new Map<FaultPointName, PromiseWithResolvers<void>>();

  /** Resolves when the next fault at this point has struck. */
  reached(point: FaultPointName): Promise<void> {
    const waiting = this.#waiting.get(point) ?? Promise.withResolvers<void>();
    this.#waiting.set(point, waiting);
    return waiting.promise;
  }

  /**
   * Plans a fault. Several at one point strike one after the other, in the order in which they were planned.
   *
   * @throws RangeError where the point doesn't know the effect.
   */
  inject(point: FaultPointName, fault: Fault, { times = 1, dir }: Injection = {}): void {
    const known: readonly Effect[] = faultPoints[point].effects;
    if (!known.includes(fault.effect)) {
      throw new RangeError(`${point} knows no ${fault.effect}, only ${known.join(', ')}`);
    }
    this.#planned.push({ point, fault, left: times, dir });
  }

  /** What is still going to happen. */
  list(): { point: FaultPointName; fault: Fault; left: number; dir?: string }[] {
    return this.#planned.map(({ point, fault, left, dir }) => ({
      point,
      fault,
      left,
      ...(dir === undefined ? {} : { dir }),
    }));
  }

  /** Forgets all faults and lets go of whatever hangs. */
  clear(): void {
    this.#planned = [];
    this.#cleared.resolve();
    this.#cleared = Promise.withResolvers();
  }

  /** Settles when the faults of now are cleared. */
  get cleared(): Promise<void> {
    return this.#cleared.promise;
  }

  /** The fault that strikes here and now, used up by this call. */
  take(point: FaultPointName, dir: string): Fault | undefined {
    if (this.#planned.length === 0) return undefined;
    const found = this.#planned.find(
      (one) => one.point === point && (one.dir === undefined || one.dir === dir),
    );
    if (found === undefined) return undefined;
    found.left -= 1;
    this.#waiting.get(point)?.resolve();
    this.#waiting.delete(point);
    if (found.left <= 0) this.#planned = this.#planned.filter((one) => one !== found);
    return found.fault;
  }
}

export function injectedError(point: FaultPointName, fault: Fault & { effect: 'error' }): VivError {
  return new VivError(fault.code ?? 'vmm_failed', fault.message ?? `Injected fault: ${point}`, {
    hint: 'This machine is simulated; the fault was asked for.',
  });
}
