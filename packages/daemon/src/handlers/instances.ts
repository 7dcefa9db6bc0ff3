import {
  type CreateInstance,
  createFromWire,
  type HypemanState,
  instanceToWire,
  longestWaitMs,
  parseDuration,
  statesBehind,
  stateToWire,
  statsToWire,
  type UpdateInstance,
  updateFromWire,
  type WaitAnswer,
} from '@vivarium/api';
import type { State } from '@vivarium/lifecycle';
import {
  type HealthStatus,
  type InstanceInfo,
  isVivError,
  type LogLine,
  type LogSource,
  VivError,
} from '@vivarium/model';
import { prefersAsync } from '../background.ts';
import type { Call, Handler } from '../call.ts';
import { jsonForm, longCall, streamItems } from '../stream.ts';
import { action } from './action.ts';
import { find } from './find.ts';
import { refuseCompression, refuseUnsupported } from './unsupported.ts';

/** hypeman answers a create whose image is not here after so long, and goes on pulling. */
const imageWaitMs = 5000;
/** Where hypeman restores, or answers that there is nothing to do. */
const restorable: ReadonlySet<HypemanState> = new Set(['Standby', 'Running', 'Initializing']);

export const createInstance: Handler = async (call) => {
  const body = call.body as CreateInstance;
  refuseUnsupported(body, call.engine.driver);
  const options = createFromWire(body);
  if (!call.lines && !prefersAsync(call)) await imageWithin(call, options.image, options.pull);
  return longCall(
    call,
    (inner) => {
      const { image, ...rest } = options;
      return body.start === false ? call.engine.create(options, inner) : call.engine.run(image, rest, inner);
    },
    (vm) => instanceToWire(vm.info),
  );
};

/** Without somebody who watches the progress, a missing image is pulled in the background. */
async function imageWithin(call: Call, image: string, policy: string | undefined): Promise<void> {
  if (policy === 'never') return;
  if (policy !== 'always') {
    try {
      await call.engine.images.get(image);
      return;
    } catch (error) {
      if (!isVivError(error, 'image_not_found')) throw error;
    }
  }
  const { promise, resolve } = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => resolve('late'), imageWaitMs);
  try {
    if ((await Promise.race([call.house.pulls.start(image).done, promise])) !== 'late') return;
  } finally {
    clearTimeout(timer);
  }
  throw new VivError('image_not_ready', `${image} is still being pulled`, {
    hint: 'Ask for the image until it is ready, then create the instance again.',
  });
}

export const getInstance: Handler = async (call) => instanceToWire((await find(call)).info);

export const updateInstance: Handler = async (call) => {
  const vm = await find(call);
  await vm.update(updateFromWire(call.body as UpdateInstance));
  return instanceToWire(await vm.refresh());
};

export const deleteInstance: Handler = async (call) => {
  const { force = true, graceful_shutdown } = call.query as { force?: boolean; graceful_shutdown?: boolean };
  const vm = await find(call);
  return longCall(
    call,
    async (inner) => {
      if (graceful_shutdown && vm.info.state === 'Running') await vm.stop(inner);
      await vm.delete({ ...inner, force });
    },
    () => undefined,
  );
};

export const startInstance = action((vm, options, call) => {
  const { cmd, entrypoint, cold } = call.body as { cmd?: string[]; entrypoint?: string[]; cold?: boolean };
  return vm.start({ ...options, cold, cmd, entrypoint });
});

export const suspendInstance = action((vm, options, call) => {
  refuseCompression(call.body as { compression?: unknown; compression_delay?: unknown });
  return vm.suspend(options);
});

/** hypeman's start from Standby, and from nothing else. */
export const restoreInstance = action((vm, options) => {
  const { state } = vm.info;
  if (!restorable.has(stateToWire(state))) {
    throw new VivError('invalid_state', `${vm.name} is ${state}: there is no saved memory to go on from`);
  }
  return vm.start(options);
});

export const discardInstance = action((vm, options) => vm.discard(options));

export const stopInstance = action((vm, options, call) => {
  const { timeout_ms, force } = call.body as { timeout_ms?: number; force?: boolean };
  return vm.stop({ ...options, timeoutMs: timeout_ms, force });
});

export const restartInstance = action((vm, options, call) =>
  vm.restart({ ...options, timeoutMs: (call.body as { timeout_ms?: number }).timeout_ms }),
);
export const prepareInstance = action((vm, options) => vm.prepare(options));
export const shutdownInstance = action((vm, options) => vm.shutdown(options));
export const pauseInstance = action((vm, options) => vm.pause(options));
export const resumeInstance = action((vm, options) => vm.resume(options));

export const waitInstance: Handler = async (call): Promise<WaitAnswer> => {
  const query = call.query as {
    state?: HypemanState;
    viv_state?: State[];
    health?: HealthStatus['status'];
    timeout?: string;
  };
  const timeoutMs = Math.min(parseDuration(query.timeout ?? '60s'), longestWaitMs);
  const wanted = query.viv_state ?? (query.state && statesBehind(query.state));
  const { health } = query;
  if (wanted === undefined && health === undefined)
    throw new VivError('invalid_request', 'The query: state is needed');
  const vm = await find(call);
  const answer = (info: InstanceInfo, timed_out: boolean): WaitAnswer => ({
    state: stateToWire(info.state),
    timed_out,
    state_error: info.stateError?.message ?? null,
    instance: instanceToWire(info),
  });
  try {
    const until = { timeoutMs, signal: call.signal };
    return answer(
      await (health === undefined ? vm.waitFor(wanted ?? [], until) : vm.waitForHealth(health, until)),
      false,
    );
  } catch (error) {
    if (isVivError(error, 'timeout')) return answer(vm.info, true);
    // hypeman's way to say that it will not come; ours is an error.
    if (isVivError(error, 'invalid_state') && query.state !== undefined) return answer(vm.info, false);
    throw error;
  }
};

export const instanceStats: Handler = async (call) => {
  const vm = await find(call);
  return statsToWire(vm.info, await vm.stats());
};

export const instanceLogs: Handler = async (call) => {
  const {
    tail = '100',
    follow,
    source = 'app',
  } = call.query as { tail?: string; follow?: boolean; source?: string };
  const vm = await find(call);
  const abort = new AbortController();
  const lines = vm.logs({
    source: (source === 'hypeman' ? 'vivarium' : source) as LogSource,
    tail: tail === 'all' ? undefined : Number(tail),
    follow,
    signal: abort.signal,
  });
  const form = jsonForm((line: LogLine) => line, { said: ({ text }) => text });
  return streamItems(call, lines, form, abort);
};
