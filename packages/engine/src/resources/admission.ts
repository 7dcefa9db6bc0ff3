import { formatSize, VivError } from '@vivarium/model';
import type { Config } from '../config/index.ts';
import type { Instance } from '../instances/instance.ts';
import type { InstanceSpec } from '../store/record.ts';
import { type Demand, demandOf } from './demand.ts';
import type { HostGauge } from './gauge.ts';
import { given, type Shares, type SummedShare, sharesOf } from './shares.ts';

/** Whether an instance has a VMM, may have one, or is about to. */
export const occupies = (instance: Instance): boolean =>
  !instance.gone && (instance.machine !== undefined || instance.sought || instance.reserved);

interface Sample {
  availableBytes: number;
  /** By instance; what is not here is not known, and taken for nothing. */
  own: Map<string, number>;
}

/**
 * Judges whether there is room. Nothing is counted that could be forgotten: what is given out is the sum over the instances, taken in the
 * same turn in which the new one is marked, so that of any number that come at once exactly those get in that fit.
 */
export class Admission {
  readonly config: Config;
  readonly gauge: HostGauge;
  readonly #instances: () => Iterable<Instance>;
  readonly #home: string;
  #diskBytes: Promise<number> | undefined;
  #sampling: Promise<Sample> | undefined;
  #nextSample: Promise<Sample> | undefined;

  constructor(config: Config, gauge: HostGauge, home: string, instances: () => Iterable<Instance>) {
    this.config = config;
    this.gauge = gauge;
    this.#home = home;
    this.#instances = instances;
  }

  demand(spec: InstanceSpec): Demand {
    return demandOf(spec, this.config, this.gauge);
  }

  get shares(): Shares {
    return sharesOf(this.config, this.gauge);
  }

  /** Room for a VMM, until disposed of; from then on its VMM holds it. @throws VivError `insufficient_resources`. */
  async reserve(instance: Instance): Promise<Disposable> {
    if (!occupies(instance)) await this.#admit(instance);
    // One that has a VMM, and is to have another.
    instance.reserved = true;
    return {
      [Symbol.dispose]: () => {
        instance.reserved = false;
      },
    };
  }

  /** Marks it where it gets in: whoever returned first would leave the next one a turn in which it is not counted. */
  async #admit(instance: Instance): Promise<void> {
    const demand = this.demand(instance.record.spec);
    this.#judgeSums(instance, demand);
    // As if nobody had used any of what is expected of him: where that fits, nobody need be looked at.
    const unused = () => ({ availableBytes: this.gauge.availableBytes(), own: new Map<string, number>() });
    if (this.config['resources.memory.judge'] === 'size' || this.roomFor(demand.expectedBytes, unused())) {
      instance.reserved = true;
      return;
    }
    const sample = await this.sample();
    this.#judgeSums(instance, demand);
    if (!this.roomFor(demand.expectedBytes, sample)) throw this.#tooLittleMemory(instance, demand, sample);
    instance.reserved = true;
  }

  /** Of one that has a VMM and comes to want other rates. @throws VivError `insufficient_resources`. */
  judgeChange(instance: Instance, spec: InstanceSpec): void {
    if (occupies(instance)) this.#judgeSums(instance, this.demand(spec));
  }

  roomFor(bytes: number, sample: Sample): boolean {
    return this.left(sample) >= bytes;
  }

  /** What a new VM could use of memory, when all the others use what is expected of them. May be under 0. */
  left(sample: Sample): number {
    return sample.availableBytes - this.config['resources.memory.reserve'] - this.promised(sample);
  }

  promised({ own }: Pick<Sample, 'own'>): number {
    let bytes = 0;
    for (const instance of this.#instances()) {
      if (!occupies(instance)) continue;
      const { expectedBytes } = this.demand(instance.record.spec);
      bytes += Math.max(0, expectedBytes - (own.get(instance.id) ?? 0));
    }
    return bytes;
  }

  /** One that is begun after it is asked for: what has ended by now is not in it any more. */
  sample(): Promise<Sample> {
    if (this.#sampling === undefined) {
      this.#sampling = this.#look().finally(() => {
        this.#sampling = undefined;
      });
      return this.#sampling;
    }
    this.#nextSample ??= this.#sampling
      .catch(() => undefined)
      .then(() => {
        this.#nextSample = undefined;
        return this.sample();
      });
    return this.#nextSample;
  }

  /** The VMMs first: what they take meanwhile then counts twice, and not never. */
  async #look(): Promise<Sample> {
    const own = new Map<string, number>();
    for (const instance of this.#instances()) {
      const pid = instance.machine?.record.vmm.pid;
      const use = pid === undefined ? undefined : await this.gauge.use(pid);
      if (use !== undefined) own.set(instance.id, use.ownBytes);
    }
    return { availableBytes: this.gauge.availableBytes(), own };
  }

  /** What does not depend on what anybody uses. */
  #judgeSums(instance: Instance, demand: Demand): void {
    const others = [...this.#instances()].filter((other) => other !== instance && occupies(other));
    const theirs = others.map(({ record }) => this.demand(record.spec));
    for (const [resource, share] of Object.entries(this.shares) as [keyof Shares, SummedShare][]) {
      const { capacity, factor } = share;
      const wanted = share.of(demand);
      const allocated = given(share, theirs);
      if (factor === 0 || allocated + wanted <= capacity * factor) continue;
      throw tooLittle(resource, { wanted, allocated, capacity, factor });
    }
  }

  /** Of root disks, which are promised from the create on. To be called in the turn in which the instance is registered. */
  judgeDisk(bytes: number, capacity: number, of?: Instance): void {
    const factor = this.config['resources.disk.oversubscription'];
    if (factor === 0) return;
    let allocated = 0;
    for (const other of this.#instances()) {
      if (other !== of && !other.gone) allocated += other.record.spec.diskBytes;
    }
    if (allocated + bytes > capacity * factor)
      throw tooLittle('disk', { wanted: bytes, allocated, capacity, factor });
  }

  /** Bytes; the file system's size is asked for once. */
  diskCapacity(): Promise<number> {
    this.#diskBytes ??= this.gauge.diskBytes(this.#home);
    return this.#diskBytes;
  }

  #tooLittleMemory(instance: Instance, demand: Demand, sample: Sample): VivError {
    const left = Math.max(0, this.left(sample));
    return new VivError(
      'insufficient_resources',
      `${instance.record.name} is expected to use ${formatSize(demand.expectedBytes)} of memory, and ${formatSize(left)} is left`,
      {
        hint: 'Stop or suspend something, give it less memory, or see `viv resources` and `resources.memory` in the configuration.',
        details: {
          resource: 'memory',
          judged_by: 'use',
          requested: demand.expectedBytes,
          available: left,
          host_available: sample.availableBytes,
          reserve: this.config['resources.memory.reserve'],
          promised: this.promised(sample),
          capacity: this.gauge.memoryBytes,
        },
      },
    );
  }
}

function tooLittle(
  resource: keyof Shares | 'disk',
  { wanted, allocated, capacity, factor }: Record<'wanted' | 'allocated' | 'capacity' | 'factor', number>,
): VivError {
  const say = resource === 'cpu' ? (n: number) => `${n} vCPUs` : formatSize;
  const limit = capacity * factor;
  const what = { cpu: 'CPU', memory: 'memory', disk: 'disk', diskIo: 'disk I/O', network: 'network' }[
    resource
  ];
  return new VivError(
    'insufficient_resources',
    `Not enough ${what}: ${say(wanted)} asked for, ${say(Math.max(0, limit - allocated))} of ${say(limit)} left`,
    {
      hint: `Stop or delete something, ask for less, or raise resources.${resource}.oversubscription (\`viv config show\`).`,
      details: {
        resource,
        requested: wanted,
        allocated,
        available: Math.max(0, limit - allocated),
        capacity,
        oversubscription: factor,
        effective_limit: limit,
      },
    },
  );
}
