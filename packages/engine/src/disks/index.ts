export { baseDisk } from './base.ts';
export {
  checkRootSize,
  createRootDisk,
  growRootDisk,
  maximumRootBytes,
  minimumRootBytes,
  type RootDiskInfo,
  rootDiskInfo,
} from './root-disk.ts';
