/** Every state an instance can be observed in. See docs/lifecycle.md. */
export type State =
  | 'Defined' | 'Stopped' | 'Created' | 'Running' | 'Paused' | 'Shutdown' | 'Suspended' | 'Deleted' | 'Error' | 'Unknown'
  | 'Cloning' | 'Starting' | 'Initializing' | 'Stopping' | 'Suspending' | 'Restoring' | 'Deleting';
