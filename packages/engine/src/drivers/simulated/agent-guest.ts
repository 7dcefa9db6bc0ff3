import { SimulatedGuest } from './guest/index.ts';
import type { InProcessGuest, MakeGuest } from './hardware.ts';

/** A guest with our agent in it, in this process. */
export const agentGuest: MakeGuest = ({ spec, powerOff, log }): InProcessGuest => {
  const guest = new SimulatedGuest({ onPowerOff: powerOff, onLog: log, memoryBytes: spec.memoryBytes });
  return {
    connect: (channel) => guest.connect(channel),
    end: () => guest.end(),
  };
};
