import { instanceToWire } from '@vivarium/api';
import type { State } from '@vivarium/lifecycle';
import { type ActionResult, type CallOptions, type InstanceInfo, isVivError, type Vm } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { longCall } from '../stream.ts';
import { find } from './find.ts';

/** An action on an instance: answers the instance as it is afterwards, and whether anything changed. */
export function action(
  act: (vm: Vm, options: CallOptions, call: Call) => PromiseLike<ActionResult>,
): Handler {
  return async (call) => {
    const vm = await find(call);
    return longCall(
      call,
      async (inner) => {
        const { changed, state } = await act(vm, inner, call);
        return { info: await afterwards(vm, state), changed };
      },
      ({ info, changed }) => instanceToWire(info, changed),
    );
  };
}

/** An instance that removes itself when it stops may be gone by now; its action has succeeded all the same. */
async function afterwards(vm: Vm, state: State): Promise<InstanceInfo> {
  try {
    return { ...(await vm.refresh()), state };
  } catch (error) {
    if (!isVivError(error, 'not_found')) throw error;
    return { ...vm.info, state };
  }
}
