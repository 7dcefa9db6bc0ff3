import {
  type AskOptions,
  type InstanceLimits,
  type LimitsStatus,
  refuseAborted,
  VivError,
  type VmLimits,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { writeRecord } from '../store/record.ts';
import { applyLimits, wantedLimits } from './apply.ts';
import { checkLimits, mergeLimits } from './check.ts';

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
    checkLimits(limits);
    const { admission, journal } = this.#context;
    const instance = this.#instance;
    if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);
    const before = wantedLimits(this.#context, instance);
    const { limits: old, ...spec } = instance.record.spec;
    const merged = mergeLimits(old, limits);
    const next = { ...spec, ...(merged === undefined ? {} : { limits: merged }) };
    admission.judgeChange(instance, next);
    instance.change({ spec: next });
    journal.save(instance.record);
    await writeRecord(instance.dir, instance.record);
    const { machine } = instance;
    if (machine !== undefined) await applyLimits(this.#context, instance, machine, before);
    return this.get();
  }
}
