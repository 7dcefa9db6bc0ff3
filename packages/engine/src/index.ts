export * from './drivers/driver.ts';
export { SimulatedDriver, SimulatedHost } from './drivers/simulated/index.ts';
export { Engine } from './engine.ts';
export { type EngineOptions, openEngine } from './open.ts';
export { type Parts, qemuParts, simulatedParts } from './parts.ts';
export { parseAvailable } from './resources/gauge.ts';
export { EngineVm } from './vm.ts';
