import {
  type CreateSnapshot,
  type ForkSnapshot,
  forkFromWire,
  instanceToWire,
  present,
  type RestoreSnapshot,
  type Snapshot,
  type SnapshotKind,
  snapshotToWire,
} from '@vivarium/api';
import { type SnapshotInfo, type SnapshotOptions, VivError, type Vm, withTags } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { longCall } from '../stream.ts';
import { action } from './action.ts';
import { find } from './find.ts';
import { refuseCompression, refuseOtherHypervisor } from './unsupported.ts';

const toWire = (call: Call) => (info: SnapshotInfo) => snapshotToWire(info, call.engine.driver);
const named = (call: Call): string => call.params.sid ?? '';
const byId = (call: Call): string => call.params.id ?? '';

export const createSnapshot: Handler = async (call) => {
  const { kind, name, expires, tags, compression } = call.body as CreateSnapshot;
  refuseCompression({ compression });
  const vm = await find(call);
  if (kind !== undefined && (kind === 'Stopped') !== (vm.info.state === 'Stopped')) {
    throw new VivError('invalid_state', `${vm.name} is ${vm.info.state}: that makes no ${kind} snapshot`, {
      hint: 'Leave kind out: it is Stopped for a stopped instance and Standby for any other.',
    });
  }
  const options: SnapshotOptions = present({ name, expires, tags });
  return longCall(call, (inner) => vm.snapshots.create({ ...options, ...inner }), toWire(call));
};

export const listInstanceSnapshots: Handler = async (call) =>
  (await (await find(call)).snapshots.list()).map(toWire(call));

export const getInstanceSnapshot: Handler = async (call) =>
  toWire(call)(await (await find(call)).snapshots.get(named(call)));

export const deleteInstanceSnapshot: Handler = async (call) =>
  (await find(call)).snapshots.remove(named(call));

/** hypeman brings the instance to a state afterwards; ours, and `start: false`, leave it as the snapshot holds it. */
export const restoreSnapshot = action(async (vm, options, call) => {
  const { start = true, target_state, target_hypervisor } = call.body as RestoreSnapshot;
  refuseOtherHypervisor(target_hypervisor, call.engine.driver);
  const { id, hasMemory, name } = await vm.snapshots.get(named(call));
  const target = start ? (target_state ?? (hasMemory ? 'Running' : 'Stopped')) : undefined;
  if (target === 'Standby' && !hasMemory) {
    throw new VivError('invalid_state', `The snapshot ${name} has no memory: it can't end in Standby`);
  }
  const restored = await vm.snapshots.restore(id, options);
  if (target === 'Running') return vm.start(options);
  if (target === 'Stopped' && hasMemory) return vm.discard(options);
  return restored;
});

export const listSnapshots: Handler = async (call): Promise<Snapshot[]> => {
  const query = call.query as {
    kind?: SnapshotKind;
    name?: string;
    source_instance_id?: string;
    tags?: Record<string, string>;
  };
  const { kind, name, source_instance_id: instance } = query;
  const wanted = withTags(query.tags);
  const all = await call.engine.snapshots.list(instance === undefined ? {} : { instance });
  return all
    .map(toWire(call))
    .filter(
      (snapshot) =>
        (kind === undefined || snapshot.kind === kind) &&
        (name === undefined || snapshot.name === name) &&
        wanted(snapshot.tags),
    );
};

export const getSnapshot: Handler = async (call) => toWire(call)(await call.engine.snapshots.get(byId(call)));

export const deleteSnapshot: Handler = async (call) => call.engine.snapshots.remove(byId(call));

const copies = (vms: Vm[]) => vms.map((vm) => instanceToWire(vm.info));

export const forkSnapshot: Handler = async (call) => {
  const { target_hypervisor, ...body } = call.body as ForkSnapshot;
  refuseOtherHypervisor(target_hypervisor, call.engine.driver);
  const { id, hasMemory } = await call.engine.snapshots.get(byId(call));
  const options = { state: hasMemory ? ('running' as const) : ('stopped' as const), ...forkFromWire(body) };
  const answer = (vms: Vm[]) => ((body.count ?? 1) > 1 ? copies(vms) : copies(vms)[0]);
  return longCall(call, (inner) => call.engine.snapshots.fork(id, { ...options, ...inner }), answer);
};

export const forkSnapshots: Handler = async (call) => {
  const options = forkFromWire(call.body as ForkSnapshot);
  return longCall(call, (inner) => call.engine.snapshots.fork(byId(call), { ...options, ...inner }), copies);
};
