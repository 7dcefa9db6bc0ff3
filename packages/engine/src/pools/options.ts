import { type PoolOptions, type PoolStage, VivError } from '@vivarium/model';
import { createId } from '../ids.ts';
import type { Context } from '../instances/context.ts';
import { hostOf, referenceOf } from '../instances/create.ts';
import { checkName } from '../instances/names.ts';
import { checkOptions } from '../instances/resolve.ts';
import { longestTimerMs } from '../instances/times.ts';
import type { PoolRecord } from './record.ts';
import { stages } from './stages.ts';

export const defaults = { size: 2, stage: 'running', creationTimeoutMs: 120_000 } as const;

const mostVms = 1000;

/** What a VM of a pool is not asked: the pool gives names, and ends and watches what it made. */
const notOfPools = [
  'name',
  'autoRemove',
  'attach',
  'restartPolicy',
  'ttlMs',
  'expiresAt',
  'autostart',
] as const;

/**
 * A pool as it is kept, with every default filled in. All that can be judged before the first VM is made is judged here.
 *
 * @throws VivError `invalid_name`, `invalid_request`, `invalid_size`, `invalid_reference`.
 */
export function poolRecord(
  context: Context,
  name: string,
  { size = defaults.size, stage = defaults.stage, creationTimeoutMs, ...vm }: PoolOptions,
  phase: 'creating' | 'open',
): PoolRecord {
  checkName(name);
  const limitMs = creationTimeoutMs ?? defaults.creationTimeoutMs;
  if (!Number.isInteger(size) || size < 1 || size > mostVms)
    throw invalid('a size of a pool', size, `1 to ${mostVms} VMs.`);
  if (!Object.hasOwn(stages, stage))
    throw invalid('a stage', stage, `One of ${Object.keys(stages).join(', ')}.`);
  if (!(limitMs >= 1 && limitMs <= longestTimerMs)) {
    throw invalid('a time to make a VM in', limitMs, `1 to ${longestTimerMs} ms.`);
  }
  for (const field of notOfPools) {
    if (field in vm) throw new VivError('invalid_request', `The VMs of a pool have no ${field} of their own`);
  }
  checkOptions(vm, hostOf(context));
  const fixed = (vm.ports ?? []).find(({ hostPort = 0 }) => hostPort !== 0);
  if (fixed !== undefined && size > 1) {
    throw new VivError(
      'invalid_request',
      `Only one VM of a pool can have port ${fixed.hostPort} of the host`,
      {
        hint: 'Leave the host port out: each VM then has a free one.',
      },
    );
  }
  const shared = (vm.volumes ?? []).find(({ mode = 'rw' }) => mode === 'rw');
  if (shared !== undefined)
    throw new VivError(
      'invalid_request',
      `The VMs of a pool can't all write to the volume ${shared.volume}`,
      {
        hint: 'Attach it read-only or with an overlay.',
      },
    );
  referenceOf(vm.image);
  return {
    format: 1,
    id: createId(),
    name,
    vm,
    size,
    stage,
    creationTimeoutMs: limitMs,
    phase,
    createdAt: new Date().toISOString(),
  };
}

function invalid(what: string, value: number | PoolStage, hint: string): VivError {
  return new VivError('invalid_request', `Not ${what}: ${value}`, { hint });
}
