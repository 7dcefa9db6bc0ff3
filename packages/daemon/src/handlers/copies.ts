import { type ForkInstance, type ForkInstances, forkFromWire, instanceToWire } from '@vivarium/api';
import type { State } from '@vivarium/lifecycle';
import { VivError, type Vm } from '@vivarium/model';
import type { Handler } from '../call.ts';
import { longCall } from '../stream.ts';
import { find } from './find.ts';

const toWire = (vms: Vm[]) => vms.map((vm) => instanceToWire(vm.info));

/** Where hypeman wants to hear that a pause of the source is no surprise. */
const live: ReadonlySet<State> = new Set(['Running', 'Paused']);

export const forkInstance: Handler = async (call) => {
  const { from_running, ...body } = call.body as ForkInstance;
  const vm = await find(call);
  if (live.has(vm.info.state) && from_running !== true) {
    throw new VivError('invalid_state', `${vm.name} is ${vm.info.state}, and from_running is not true`, {
      hint: 'Say "from_running": true: it pauses for a moment.',
    });
  }
  const answer = (vms: Vm[]) => ((body.count ?? 1) > 1 ? toWire(vms) : toWire(vms)[0]);
  return longCall(call, (inner) => vm.fork({ ...forkFromWire(body), ...inner }), answer);
};

export const forkInstances: Handler = async (call) => {
  const options = forkFromWire(call.body as ForkInstances);
  const vm = await find(call);
  return longCall(call, (inner) => vm.fork({ ...options, ...inner }), toWire);
};
