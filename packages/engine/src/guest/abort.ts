import { abortError } from './guest-errors.ts';

/** Waits for a promise that has no signal of its own. The promise goes on; `late` gets its value when the wait was aborted. */
export function abortable<T>(
  promise: Promise<T>,
  signal?: AbortSignal,
  late?: (value: T) => void,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    let waiting = true;
    const abort = () => {
      waiting = false;
      reject(abortError(signal));
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener('abort', abort);
        if (waiting) resolve(value);
        else late?.(value);
      },
      (error) => {
        signal.removeEventListener('abort', abort);
        reject(error);
      },
    );
  });
}
