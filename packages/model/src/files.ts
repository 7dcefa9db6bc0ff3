import type { FileStat } from './vivarium.ts';

/** What a directory of the guest has. */
export interface FileEntry extends Omit<FileStat, 'path'> {
  name: string;
}

export interface DirectoryOptions {
  /** Make what is missing on the way too; one that is there already is no error. Default false. */
  parents?: boolean;
  /** Default 0755. */
  mode?: number;
  /** Default 0, root. */
  uid?: number;
  gid?: number;
  signal?: AbortSignal;
}

/** Mode and owner to be set; what is absent stays. */
export interface FileAttributes {
  /** Permission bits, setuid and sticky among them (0o7777). Links have none of their own. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** Of what a symbolic link at the path leads to. Default false. */
  followLinks?: boolean;
}

export interface ReadOptions {
  /** First byte. Default 0. */
  offset?: number;
  /** Bytes at most; fewer where the file ends. Default: all that follow. */
  length?: number;
  signal?: AbortSignal;
}

export interface WatchOptions {
  /** All directories below as well, those that come later among them. Default false. */
  recursive?: boolean;
  signal?: AbortSignal;
}

/** Something that happened to what is watched. */
export interface FileChange {
  /**
   * `attributes`: mode, owner or times. `renamed`: within what is watched; from or to elsewhere it is `removed` or `created`.
   * `lost`: more happened than was kept; look again. A file is told to be created once, whatever is written right then.
   */
  kind: 'created' | 'modified' | 'attributes' | 'removed' | 'renamed' | 'lost';
  /** As the guest has it; of `lost` what is watched. */
  path: string;
  /** Of `renamed`: where it was. */
  from?: string;
}
