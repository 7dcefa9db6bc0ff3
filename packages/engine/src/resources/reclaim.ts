import { type ReclaimAction, type Reclaimed, type ReclaimOptions, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { suspendInstance } from '../instances/suspend.ts';
import { expectUnused, openIn, trafficOf } from '../standby/look.ts';

interface Candidate {
  instance: Instance;
  usedBytes: number;
  /** Why it is left alone. */
  refusal?: string;
  idleSince: number;
}

/** @throws VivError `not_supported`, `invalid_request`. */
export async function reclaimMemory(
  context: Context,
  { bytes, dryRun = false, reason, signal }: ReclaimOptions,
): Promise<Reclaimed> {
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new VivError('invalid_request', `Not a number of bytes to reclaim: ${bytes}`);
  if (!context.driver.capabilities().save) {
    throw new VivError(
      'not_supported',
      `Guests have no balloon, and the ${context.driver.name} driver can't suspend them`,
    );
  }
  const actions: ReclaimAction[] = [];
  let planned = 0;
  for (const candidate of await candidates(context)) {
    const enough = planned >= bytes;
    if (enough && candidate.refusal === undefined) continue;
    const action = actionOf(context, candidate);
    actions.push(action);
    if (candidate.refusal !== undefined) continue;
    planned += candidate.usedBytes;
    if (!dryRun) await apply(context, candidate, action, { reason, signal });
  }
  const { admission } = context;
  const available = admission.gauge.availableBytes();
  return {
    requestedBytes: bytes,
    plannedBytes: planned,
    appliedBytes: actions.reduce((sum, { appliedBytes }) => sum + appliedBytes, 0),
    hostAvailableBytes: available,
    pressure: available < admission.config['resources.memory.reserve'] ? 'pressure' : 'healthy',
    actions,
  };
}

/** Those that may be suspended first, and among them who has been idle for longest. */
async function candidates(context: Context): Promise<Candidate[]> {
  const running = [...context.instances.all()].filter(({ state }) => state === 'Running');
  const found = await Promise.all(running.map((instance) => candidate(context, instance)));
  return found.sort(
    (a, b) => Number(a.refusal !== undefined) - Number(b.refusal !== undefined) || a.idleSince - b.idleSince,
  );
}

async function candidate(context: Context, instance: Instance): Promise<Candidate> {
  const watch = context.standby.idle(instance);
  const pid = instance.machine?.record.vmm.pid;
  const use = pid === undefined ? undefined : await context.admission.gauge.use(pid);
  const usedBytes = use?.ownBytes ?? 0;
  const idleSince = watch.idleSince ?? Number.MAX_SAFE_INTEGER;
  const found = { instance, usedBytes, idleSince };
  if (!watch.eligible)
    return {
      ...found,
      refusal: 'it has no auto_standby policy, so it is not suspended; guests have no balloon',
    };
  if (use === undefined) return { ...found, refusal: 'the host does not tell what it uses' };
  if (!instance.uses.none) return { ...found, refusal: 'it is in use' };
  const open = openIn(await trafficOf(instance), instance);
  if (open > 0) return { ...found, refusal: 'it has open connections' };
  return found;
}

function actionOf({ driver }: Context, { instance, usedBytes, refusal }: Candidate): ReclaimAction {
  const { record } = instance;
  return {
    instanceId: record.id,
    instanceName: record.name,
    driver: driver.name,
    assignedBytes: record.spec.memoryBytes,
    usedBytes,
    plannedBytes: refusal === undefined ? usedBytes : 0,
    appliedBytes: 0,
    ...(refusal === undefined ? { status: 'planned' } : { status: 'unsupported', error: refusal }),
  };
}

async function apply(
  context: Context,
  { instance, usedBytes }: Candidate,
  action: ReclaimAction,
  { reason, signal }: Pick<ReclaimOptions, 'reason' | 'signal'>,
): Promise<void> {
  try {
    await suspendInstance(context, instance, {
      by: 'reclaim',
      signal,
      still: (open) => expectUnused(instance, open),
    });
    action.status = 'suspended';
    action.appliedBytes = usedBytes;
    instance.emit('reclaimed', { bytes: usedBytes, ...(reason === undefined ? {} : { reason }) });
  } catch (error) {
    action.status = 'error';
    action.error = VivError.from(error).message;
  }
}
