import {
  type SetSnapshotSchedule,
  type SnapshotSchedule,
  scheduleRequestFromWire,
  scheduleToWire,
} from '@vivarium/api';
import { VivError } from '@vivarium/model';
import type { Handler } from '../call.ts';
import { find } from './find.ts';

export const getSnapshotSchedule: Handler = async (call): Promise<SnapshotSchedule> => {
  const vm = await find(call);
  const schedule = await vm.snapshots.schedule.get();
  if (schedule === undefined) throw new VivError('not_found', `${vm.name} has no snapshot schedule`);
  return scheduleToWire(schedule);
};

export const setSnapshotSchedule: Handler = async (call): Promise<SnapshotSchedule> => {
  const options = scheduleRequestFromWire(call.body as SetSnapshotSchedule);
  return scheduleToWire(await (await find(call)).snapshots.schedule.set(options));
};

export const deleteSnapshotSchedule: Handler = async (call) => (await find(call)).snapshots.schedule.remove();
