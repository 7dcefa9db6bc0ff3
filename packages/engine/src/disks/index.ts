export { baseDisk } from './base.ts';
export { rootLayers, rootNames } from './chain.ts';
export { flattenRoot } from './flatten.ts';
export {
  abandonLayer,
  commitLayer,
  dropTop,
  isTopNew,
  newLayerFor,
  type PreparedLayer,
  settleLayer,
} from './layers.ts';
export { planMerge } from './merge-plan.ts';
export {
  checkRootSize,
  createRootDisk,
  growRootDisk,
  maximumRootBytes,
  minimumRootBytes,
  type RootDiskInfo,
  rootDiskInfo,
} from './root-disk.ts';
export { shareLayers } from './share.ts';
