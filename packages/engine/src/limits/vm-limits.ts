import {
  type AskOptions,
  type InstanceLimits,
  type LimitsStatus,
  refuseAborted,
  type VmLimits,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { updateInstance } from '../instances/update.ts';

/** Limits of one instance. */
export class EngineVmLimits implements VmLimits {
  readonly #context: Context;
  readonly #instance: Instance;

  constructor(context: Context, instance: Instance) {
    this.#context = context;
    this.#instance = instance;
  }

  async get(options: AskOptions = {}): Promise<LimitsStatus> {
    refuseAborted(options);
    const { machine, record, effects } = this.#instance;
    return { asked: record.spec.limits ?? {}, effects: machine === undefined ? [] : [...effects] };
  }

  async set(limits: InstanceLimits, options: AskOptions = {}): Promise<LimitsStatus> {
    refuseAborted(options);
    await updateInstance(this.#context, this.#instance, { limits });
    return this.get();
  }
}
