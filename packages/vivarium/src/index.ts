export * from '@vivarium/client';
