export * from './errors.ts';
export * from './exec.ts';
export * from './home.ts';
export * from './image.ts';
export * from './instance.ts';
export * from './progress.ts';
export * from './size.ts';
export * from './vivarium.ts';
