import { abortReason, VivError } from '@vivarium/model';

type Start = (signal: AbortSignal) => Promise<void>;

/**
 * One start for all who find the daemon gone at the same time. Who gives up leaves it to the others; where nobody is left
 * the start is told to give up as well.
 */
export function sharedStart(start: Start): (signal?: AbortSignal) => Promise<void> {
  let current: { controller: AbortController; waiting: number; done: Promise<void> } | undefined;

  function begin(): NonNullable<typeof current> {
    const controller = new AbortController();
    const begun = {
      controller,
      waiting: 0,
      done: start(controller.signal).finally(() => {
        if (current === begun) current = undefined;
      }),
    };
    current = begun;
    return begun;
  }

  return async (signal) => {
    const joined = current ?? begin();
    joined.waiting += 1;
    try {
      await unlessAborted(joined.done, signal);
    } finally {
      joined.waiting -= 1;
      if (joined.waiting === 0 && current === joined) {
        current = undefined;
        joined.controller.abort(new VivError('cancelled', 'Nobody waits for the daemon any more.'));
      }
    }
  };
}

async function unlessAborted(done: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return done;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(abortReason(signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([done, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
