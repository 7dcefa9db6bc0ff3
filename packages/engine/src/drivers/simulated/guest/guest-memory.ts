import { deserialize, serialize } from 'node:v8';
import type { FileNode } from './file-tree.ts';
import type { LogRest } from './guest-log.ts';
import type { ToldIdentity } from './guest-system.ts';
import type { SessionMemory } from './session.ts';
import type { MountedVolume } from './volumes.ts';

/** All of a guest by value: what a machine has in its memory, and its disk too, for there is no other. */
export interface GuestMemory {
  bootId: string;
  hostname: string;
  generation: number;
  clockNanos: bigint;
  clockSources: string[];
  configured: boolean;
  frozen: boolean;
  identities: ToldIdentity[];
  warmed: number;
  nextPid: number;
  /** Milliseconds since its boot, by its own clock. */
  upMs: number;
  /** It was told to shut down. */
  goesDown: boolean;
  log: LogRest | undefined;
  trees: Map<string, FileNode>;
  volumes?: MountedVolume[];
  /** Those that only their workload still knows are not listed. */
  sessions: { listed: boolean; memory: SessionMemory }[];
  /** `session`: an index of {@link sessions}. */
  workloads: { id: string; stopSignal: string; session: number | undefined }[];
}

/** Nothing in it is shared with the guest, or with what another call makes of the same bytes. */
export const encodeMemory = (memory: GuestMemory): Uint8Array => serialize(memory);

export const decodeMemory = (bytes: Uint8Array): GuestMemory => deserialize(bytes) as GuestMemory;
