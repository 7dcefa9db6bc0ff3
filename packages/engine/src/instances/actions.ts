import { type Action, allActions, joining, mayInterrupt, transition } from '@vivarium/lifecycle';
import { type ActionResult, type CallOptions, VivError } from '@vivarium/model';
import type { Request } from '../operations/door.ts';
import type { Instance } from './instance.ts';

/** How long each operation may take before it is undone, in milliseconds. */
export const deadlines = {
  create: 120_000,
  prepare: 60_000,
  start: 180_000,
  /** More than the longest time a guest may be given. */
  stop: 3_660_000,
  shutdown: 120_000,
  /** Gigabytes onto a slow disk. */
  suspend: 1_800_000,
  discard: 60_000,
  fork: 1_800_000,
  snapshot: 1_800_000,
  restore: 600_000,
  pause: 20_000,
  resume: 10_000,
  delete: 120_000,
  rename: 10_000,
  update: 60_000,
  resize: 60_000,
  flatten: 1_800_000,
  acquire: 10_000,
  'attach-volume': 240_000,
  'detach-volume': 60_000,
  'clone-volume': 600_000,
  'resize-volume': 120_000,
} as const;

/**
 * An action as the table has it: from which states, whom it joins and whom it cuts short, and where nothing is to do.
 * `hint` says what to do instead where it is refused.
 */
export function request(
  instance: Instance,
  action: Action & keyof typeof deadlines,
  call: CallOptions,
  { force = false, parameters, hint }: { force?: boolean; parameters?: unknown; hint?: string } = {},
): Request<ActionResult> {
  const cutShort = allActions.filter((underWay) => mayInterrupt(action, underWay, { force }));
  return {
    action,
    parameters,
    joins: joining[action] === 'equal',
    // A stop that waits for a deaf guest gives way to one that doesn't.
    interrupts: action === 'stop' && force ? [...cutShort, 'stop'] : cutShort,
    deadlineMs: deadlines[action],
    signal: call.signal,
    onProgress: call.onProgress,
    check: () => {
      if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);
      const next = transition(instance.state, action, { force });
      if (next === undefined) throw invalidState(instance, action, hint);
      return next.changed ? undefined : { answer: { changed: false, state: instance.state } };
    },
  };
}

export function invalidState(instance: Instance, action: string, hint?: string): VivError {
  const { state, stateError } = instance;
  const why = stateError === undefined ? '' : ` (${stateError.message})`;
  return new VivError('invalid_state', `Cannot ${action} ${instance.record.name}: it is ${state}${why}`, {
    hint,
    details: { state, action },
  });
}

export function changed(instance: Instance): ActionResult {
  return { changed: true, state: instance.state };
}
