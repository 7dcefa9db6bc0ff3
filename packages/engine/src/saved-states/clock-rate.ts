/**
 * Parts per million by which two rates may differ and still be the same. Measuring is right to 50, and what a kernel takes for the time
 * itself to some tens; processors that count differently do so by thousands. What is left, 17 seconds a day at most, is within the 500
 * that NTP in a guest can make up for.
 */
const mostApart = 200;

/** Whether a guest that has taken one rate of the time stamp counter for granted keeps time where it counts at another (kHz). */
export function keepsTime(taken: number | undefined, present: number | undefined): boolean {
  if (taken === undefined || present === undefined) return false;
  return Math.abs(taken - present) * 1e6 <= mostApart * present;
}
