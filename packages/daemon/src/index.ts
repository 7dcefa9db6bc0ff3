export { DaemonLog } from './log.ts';
export { type Daemon, type ServeOptions, serve } from './serve.ts';
