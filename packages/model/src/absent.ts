import type { Snapshots, Templates, VmSnapshots } from './copies.ts';
import { VivError } from './errors.ts';
import type { Pools } from './pools.ts';

/*
 * What a door answers for rooms that do not exist behind it yet. Each of these goes as soon as its room is there.
 */

function absent(what: string): never {
  throw new VivError('not_supported', `${what} are not there yet`);
}

const refuse = <T extends object>(what: string, names: (keyof T & string)[]): T =>
  Object.fromEntries(names.map((name) => [name, () => absent(what)])) as T;

export const absentVmSnapshots = refuse<VmSnapshots>('Snapshots', [
  'create',
  'list',
  'get',
  'restore',
  'remove',
]);
export const absentSnapshots = refuse<Snapshots>('Snapshots', ['list', 'get', 'fork', 'remove']);
export const absentTemplates = refuse<Templates>('Templates', ['list', 'warm', 'remove', 'clear']);
export const absentPools = refuse<Pools>('Pools', ['create', 'get', 'list']);
/** Suspend, discard and fork. */
export const absentCall = (): never => absent('Suspend, discard and fork');
