export { Cgroups, type GroupEffect, type GroupLimits } from './groups.ts';
export { type CgroupTree, hostTree } from './layout.ts';
