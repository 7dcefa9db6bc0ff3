/** Printed with every failure; set VIV_TEST_SEED to get the same moments again. */
export const seed = Number(process.env.VIV_TEST_SEED ?? Date.now() % 1_000_000);

/** Kills of each kind; more of them search longer. */
export const rounds = Number(process.env.VIV_TEST_ROUNDS ?? 2);

/** Numbers from 0 to 1, the same for the same seed. */
export function mulberry32(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
