import { VivError } from '@vivarium/model';

/** The longest that a timer of Node's runs; a longer one fires at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** Milliseconds a guest may be given to stop: an hour. */
const longestStopMs = 3_600_000;

/** @throws VivError `invalid_request` for what is no time to wait for a guest, in milliseconds. */
export function checkStopTimeout(milliseconds: number): void {
  if (milliseconds >= 0 && milliseconds <= longestStopMs) return;
  throw new VivError('invalid_request', `Not a time to wait for a guest to stop: ${milliseconds} ms`, {
    hint: `0 to ${longestStopMs} ms. To stop without asking, use force.`,
  });
}
