import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type Header, pack } from 'tar-stream';

/** An entry of a layer that a test image is made of: its header, and the content of a file. */
export type TarEntry = Partial<Omit<Header, 'pax'>> & {
  name: string;
  body?: Buffer | string;
  /** Records of the entry's extended header, such as `SCHILY.xattr.security.capability`. */
  pax?: Record<string, string>;
};

/** All times are this one unless an entry says otherwise, so that a recipe always gives the same bytes. */
const then = new Date('2020-01-02T03:04:05Z');

export const dir = (name: string, mode = 0o755): TarEntry => ({ name: `${name}/`, type: 'directory', mode });
export const text = (name: string, body: string, mode = 0o644): TarEntry => ({ name, body, mode });
export const symlink = (name: string, linkname: string): TarEntry => ({
  name,
  type: 'symlink',
  linkname,
  mode: 0o777,
});
export const hardLink = (name: string, linkname: string): TarEntry => ({ name, type: 'link', linkname });
/** OCI's mark that a lower layer's file is gone. */
export const whiteout = (name: string): TarEntry => {
  const at = name.lastIndexOf('/') + 1;
  return text(`${name.slice(0, at)}.wh.${name.slice(at)}`, '');
};
/** OCI's mark that nothing of the lower layers' directory shows through. */
export const opaque = (name: string): TarEntry => text(`${name}/.wh..wh..opq`, '');

/** Writes a plain tar file. */
export async function writeTar(destination: string, entries: readonly TarEntry[]): Promise<void> {
  const archive = pack();
  const written = pipeline(archive, createWriteStream(destination));
  for (const { body, ...header } of entries) {
    const full = { uid: 0, gid: 0, mtime: then, ...header };
    if (body === undefined && (header.type ?? 'file') !== 'file') archive.entry(full);
    else archive.entry(full, body ?? '');
  }
  archive.finalize();
  await written;
}
