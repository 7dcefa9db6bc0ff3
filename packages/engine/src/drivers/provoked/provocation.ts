import type { EffectAt, FaultPointName } from '../simulated/faults.ts';
import type { Stage } from './stage.ts';

/** Makes a real machine meet a fault, and looks at what comes of it. Or the reason why no real machine can be made to. */
export type Provocation = ((stage: Stage) => Promise<void>) | string;

/** A way to provoke every effect that a simulated machine knows at these points. */
export type Provocations<Point extends FaultPointName> = {
  readonly [P in Point]: { readonly [E in EffectAt<P>]: Provocation };
};
