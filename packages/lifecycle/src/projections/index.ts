import { cloudeng } from './cloudeng.ts';
import { hcsshim } from './hcsshim.ts';
import { hypeman } from './hypeman.ts';
import { incus } from './incus.ts';
import { podplane } from './podplane.ts';

export * from './cloudeng.ts';
export * from './cloudeng-instance.ts';
export * from './hcsshim.ts';
export * from './hypeman.ts';
export * from './incus.ts';
export * from './podplane.ts';
export * from './projection.ts';

/** All five. */
export const projections = { cloudeng, hcsshim, podplane, hypeman, incus } as const;
