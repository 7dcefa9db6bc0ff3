/**
 * Names and values of a tar are bytes, not text: every string here is *binary* (`latin1`, one character per byte), so that
 * names that are not UTF-8 and binary attributes such as file capabilities pass unharmed.
 */
export interface TarEntry {
  kind: 'file' | 'directory' | 'symlink' | 'link' | 'character' | 'block' | 'fifo';
  name: string;
  /** Of links, symbolic and hard. */
  linkName: string;
  /** 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content that follow; 0 for all but files. */
  size: number;
  /** Whole seconds since 1970. */
  mtime: number;
  major: number;
  minor: number;
  /** Extended attributes: `security.capability`, … */
  xattrs: Map<string, string>;
}

export const blockSize = 512;
export const paxXattr = 'SCHILY.xattr.';

/** Bytes that fill the last block of `size` bytes of content. */
export const padding = (size: number): number => (blockSize - (size % blockSize)) % blockSize;
