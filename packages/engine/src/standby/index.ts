export { StandbyKeeper } from './keeper.ts';
export { EngineVmStandby } from './vm-standby.ts';
