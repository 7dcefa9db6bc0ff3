/** One promised figure, as measured in this run. */
export interface Measured {
  what: string;
  /** Printed as they are; medians unless they say otherwise. */
  ours: string;
  floor: string;
  /** The promise, in words. */
  promise: string;
  kept: boolean;
}

export interface Figure {
  /** For `npm run bench -- NAME`. */
  name: string;
  run(): Promise<Measured[]>;
}

export const ms = (value: number): string =>
  value < 10 ? `${value.toFixed(2)} ms` : `${Math.round(value)} ms`;
export const rate = (bytes: number, milliseconds: number): string =>
  `${Math.round(bytes / 1e3 / milliseconds)} MB/s`;
