export { connectGuest } from './connect.ts';
export type * from './guest.ts';
