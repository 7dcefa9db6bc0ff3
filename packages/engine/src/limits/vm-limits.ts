import {
  type AskOptions,
  type InstanceLimits,
  type LimitsStatus,
  refuseAborted,
  type VmLimits,
} from '@vivarium/model';
import { changeRecord } from '../instances/change-record.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
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
    const context = this.#context;
    const instance = this.#instance;
    let before: InstanceLimits = {};
    await changeRecord(context, instance, ['limits'], ({ spec }) => {
      before = wantedLimits(context, instance);
      const next = { ...spec, limits: mergeLimits(spec.limits, limits) };
      context.admission.judgeChange(instance, next);
      return { spec: next };
    });
    const { machine } = instance;
    if (machine !== undefined) await applyLimits(context, instance, machine, before);
    return this.get();
  }
}
