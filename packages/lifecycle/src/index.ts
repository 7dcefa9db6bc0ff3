export * from './actions.ts';
export * from './states.ts';
export * from './table.ts';
export * from './transition.ts';
