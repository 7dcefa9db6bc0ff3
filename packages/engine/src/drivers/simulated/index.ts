export { SimulatedDriver } from './driver.ts';
export {
  allFaultPoints,
  type Effect,
  type Fault,
  type FaultPointName,
  Faults,
  faultPoints,
  type Injection,
} from './faults.ts';
export type { Hardware, InProcessGuest, MakeGuest } from './hardware.ts';
export { SimulatedHost, type SimulatedHostOptions } from './host.ts';
