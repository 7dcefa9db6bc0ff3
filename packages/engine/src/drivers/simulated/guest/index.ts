export { realClock, type SimulatedClock } from './clock.ts';
export { type FileNode, makeNode } from './file-tree.ts';
export { type Flood, GuestFaults } from './guest-faults.ts';
export type { Program, ProgramIo } from './programs.ts';
export { SimulatedGuest, type SimulatedGuestOptions } from './simulated-guest.ts';
