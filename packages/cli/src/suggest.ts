export { nearest } from '@vivarium/model';
