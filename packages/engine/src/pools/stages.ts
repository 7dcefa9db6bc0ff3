import type { State } from '@vivarium/lifecycle';
import type { CallOptions, PoolStage, Vm } from '@vivarium/model';

/** How far a VM of a pool is made ready, and what is left to do when somebody wants it. */
export interface Stage {
  /** A VM is ready in this state and in no other. */
  readonly state: State;
  /** From Stopped, just made, to the state. */
  bring(vm: Vm, call: CallOptions): PromiseLike<unknown>;
  /** From the state to Running. */
  wake(vm: Vm, call: CallOptions): PromiseLike<unknown>;
}

const nothing = async () => undefined;

export const stages: Readonly<Record<PoolStage, Stage>> = {
  running: { state: 'Running', bring: (vm, call) => vm.start(call), wake: nothing },
  suspended: {
    state: 'Suspended',
    bring: async (vm, call) => {
      await vm.start(call);
      await vm.suspend(call);
    },
    wake: (vm, call) => vm.start(call),
  },
  stopped: { state: 'Stopped', bring: nothing, wake: (vm, call) => vm.start(call) },
};

/** What is done where a driver can't save memory. */
export function stageOn({ save }: { save: boolean }, asked: PoolStage): PoolStage {
  return asked === 'suspended' && !save ? 'stopped' : asked;
}
