import type { FileChange, FileEntry, SessionInfo, SessionOutput } from '@vivarium/model';
import type { DirectoryEntry, FileChange as WireChange } from '../schemas/directory.ts';
import type { Session, SessionPiece } from '../schemas/session.ts';
import { present } from './present.ts';

export function sessionToWire({ argv, ...info }: SessionInfo): Session {
  return present<Session>({ ...info, command: argv });
}

export function sessionFromWire({ command, ...wire }: Session): SessionInfo {
  return { ...wire, argv: command };
}

export const pieceToWire = ({ stream, offset, data }: SessionOutput): SessionPiece => ({
  stream,
  offset,
  data: Buffer.from(data).toString('base64'),
});

export const pieceFromWire = ({ stream, offset, data }: SessionPiece): SessionOutput => ({
  stream: stream as SessionOutput['stream'],
  offset,
  data: Buffer.from(data, 'base64'),
});

export function entryToWire(entry: FileEntry): DirectoryEntry {
  const { sizeBytes, modifiedAt, linkTarget, ...rest } = entry;
  return present<DirectoryEntry>({
    ...rest,
    size: sizeBytes,
    modified_at: modifiedAt,
    link_target: linkTarget,
  });
}

export function entryFromWire(wire: DirectoryEntry): FileEntry {
  const { size, modified_at, link_target, kind, ...rest } = wire;
  return present<FileEntry>({
    ...rest,
    kind: kind as FileEntry['kind'],
    sizeBytes: size,
    modifiedAt: modified_at,
    linkTarget: link_target,
  });
}

/** The first change of a stream says that it has begun; it is none. */
export const watching = 'watching';

export const changeToWire = (change: FileChange): WireChange => change;
export const changeFromWire = (wire: WireChange): FileChange => wire as FileChange;
