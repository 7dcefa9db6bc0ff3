import type { WireError } from '@vivarium/protocol';

/** What can be made to go wrong in a simulated guest. All of it may be changed at any time. */
export class GuestFaults {
  /** The agent never greets: HELLO is read and not answered. */
  mute = false;
  /** Methods that are never answered. */
  readonly silent = new Set<string>();
  /** Methods answered with an error, without being done. */
  readonly errors = new Map<string, WireError>();
  /** Milliseconds before a method is looked at. */
  readonly delays = new Map<string, number>();
  /** The port is lost after so many more frames to the host. Counts down; undefined: never. */
  dropAfterFrames: number | undefined;
  /** The port is lost after so many more bytes to the host, in the middle of a frame where it falls so. */
  dropAfterBytes: number | undefined;
}

/** A flood that a hostile guest could make. */
export type Flood = 'events' | 'pings' | 'garbage' | 'old-epoch' | 'unknown-stream' | 'stream-data';
