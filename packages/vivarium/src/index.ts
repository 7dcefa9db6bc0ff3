/** The SDK. `vivarium/engine` is the same in-process, without a daemon. */
export * from '@vivarium/client';
export { default } from '@vivarium/client';
