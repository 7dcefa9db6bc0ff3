export { QemuDriver, type QemuDriverOptions } from './driver.ts';
