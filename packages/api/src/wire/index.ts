export { type EndpointName, endpoints } from '../endpoints.ts';
export * from './copies.ts';
export * from './duration.ts';
export * from './headers.ts';
export * from './image.ts';
export * from './instance.ts';
export * from './observe.ts';
export * from './progress.ts';
export * from './state.ts';
