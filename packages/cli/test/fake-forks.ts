import type { State } from '@vivarium/lifecycle';
import {
  type CallOptions,
  type ForkOptions,
  type ForkState,
  type InstanceInfo,
  isPattern,
  numbered,
  VivError,
  type Vm,
} from '@vivarium/model';
import type { FakeVivarium } from './fake-vivarium.ts';
import { FakeVm } from './fake-vm.ts';

const states: Readonly<Record<ForkState, State>> = {
  running: 'Running',
  paused: 'Paused',
  suspended: 'Suspended',
  stopped: 'Stopped',
};

export const stateOf = (state: ForkState): State => states[state];

/** What an instance is to its copies. @throws VivError `invalid_state` where it is just becoming something else. */
export function forkStateOf({ name, state }: InstanceInfo): ForkState {
  const found = (Object.keys(states) as ForkState[]).find((word) => states[word] === state);
  if (found === undefined) throw new VivError('invalid_state', `${name} is ${state}.`);
  return found;
}

/** What copies are made of: an instance as it is, or as it was. */
export interface Original {
  info: InstanceInfo;
  disk: ReadonlyMap<string, Buffer>;
  printed: readonly string[];
  snapshotId?: string;
}

export function originalOf(home: FakeVivarium, info: InstanceInfo): Original {
  return {
    info,
    disk: new Map(home.disks.get(info.id)),
    printed: home.printed.get(info.id) ?? [],
  };
}

export function forkVm(home: FakeVivarium, info: InstanceInfo, options: ForkOptions & CallOptions): Vm[] {
  if (home.deaf.has(info.name) && info.state === 'Running' && !options.unsafeIdentity) {
    throw new VivError('identity_unsafe', `The agent of ${info.name} does not answer.`, {
      hint: 'Copy it with its identity: --unsafe-identity.',
    });
  }
  home.calls.push(`fork ${info.name}`);
  return copiesOf(home, originalOf(home, info), options);
}

/** All of the copies or none. */
export function copiesOf(home: FakeVivarium, original: Original, options: ForkOptions & CallOptions): Vm[] {
  const { info } = original;
  const { count = 1, name: pattern, state = forkStateOf(info) } = options;
  const saved = info.state !== 'Stopped';
  if (options.signal?.aborted) throw new VivError('cancelled', 'Nothing was copied.');
  if (count < 1 || count > 1000) throw new VivError('invalid_request', `${count} copies can not be made.`);
  if (!saved && (state === 'paused' || state === 'suspended'))
    throw new VivError('invalid_state', `${info.name} is Stopped: its copies have no memory.`);
  if (count > 1 && pattern !== undefined && !isPattern(pattern))
    throw new VivError('invalid_name', `${count} copies can not all be ${pattern}.`, {
      hint: 'Put %d into the name.',
    });
  const names = Array.from({ length: count }, (_, index) => pattern && numbered(pattern, index + 1));
  for (const name of names) {
    if (name !== undefined && home.instances.has(name))
      throw new VivError('name_conflict', `There is a VM named ${name}.`);
  }
  options.onProgress?.({ stage: 'saved', pauseMilliseconds: 7 });
  return names.map((name = home.inventName()) => copyOf(home, original, name, state, options));
}

function copyOf(
  home: FakeVivarium,
  { info, disk, printed, snapshotId }: Original,
  name: string,
  state: ForkState,
  options: ForkOptions & CallOptions,
): Vm {
  const { suspendedAt: _, snapshotId: _of, pool: _pool, ...kept } = info;
  const copy: InstanceInfo = {
    ...kept,
    id: home.newId(),
    name,
    hostname: name,
    state: stateOf(state),
    tags: options.tags ?? info.tags,
    autoRemove: options.autoRemove ?? false,
    forkedFrom: { instanceId: info.id, ...(snapshotId === undefined ? {} : { snapshotId }) },
    ...(state === 'suspended' ? { suspendedAt: info.createdAt } : {}),
  };
  options.onProgress?.({ stage: 'copying', name, id: copy.id });
  home.add(copy);
  home.disks.set(copy.id, new Map(disk));
  home.printed.set(copy.id, [...printed]);
  return new FakeVm(home, copy);
}
