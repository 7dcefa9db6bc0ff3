export * from '@vivarium/engine';
