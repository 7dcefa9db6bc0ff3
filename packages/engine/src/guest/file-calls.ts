import type { DirectoryOptions, FileAttributes, FileChange, FileEntry } from '@vivarium/model';
import { type Fields, ProtocolError } from '@vivarium/protocol';
import { count, readFileFields } from './answers.ts';
import type { GuestChannel } from './channel.ts';
import { openWatch } from './file-watch.ts';

const nothing = (_: Fields): void => undefined;

/** Single steps on the files of one target; paths are absolute. */
export class GuestFileCalls {
  readonly #control: GuestChannel;
  readonly #target: string;

  constructor(control: GuestChannel, target: string) {
    this.#control = control;
    this.#target = target;
  }

  /** The entries whose names come after `after`, as many as fit an answer. */
  list(
    path: string,
    after: string | undefined,
    signal?: AbortSignal,
  ): Promise<{ entries: FileEntry[]; more: boolean }> {
    const read = (result: Fields) => {
      const entries = result.maps('entries').map((entry) => ({
        name: entry.text('name'),
        ...readFileFields(entry),
      }));
      const more = result.bool('more');
      // Whoever asks for what comes after nothing asks for ever.
      if (more && entries.length === 0)
        throw new ProtocolError('invalid_field', 'fs.list: more, after no entries');
      return { entries, more };
    };
    return this.#control.call('fs.list', { target: this.#target, path, after }, read, signal);
  }

  read(
    path: string,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<{ data: Uint8Array; sizeBytes: number }> {
    const read = (result: Fields) => {
      const data = result.bytes('data');
      if (data.byteLength > length)
        throw new ProtocolError('invalid_field', 'fs.read: more than was asked for');
      return { data, sizeBytes: count(result, 'size') };
    };
    return this.#control.call('fs.read', { target: this.#target, path, offset, length }, read, signal);
  }

  mkdir(path: string, options: DirectoryOptions, signal?: AbortSignal): Promise<void> {
    const { parents, mode, uid, gid } = options;
    return this.#control.call(
      'fs.mkdir',
      { target: this.#target, path, parents, mode, uid, gid },
      nothing,
      signal,
    );
  }

  remove(path: string, recursive: boolean, signal?: AbortSignal): Promise<{ removed: number }> {
    const read = (result: Fields) => ({ removed: count(result, 'removed') });
    return this.#control.call('fs.remove', { target: this.#target, path, recursive }, read, signal);
  }

  rename(from: string, to: string, replace: boolean, signal?: AbortSignal): Promise<void> {
    return this.#control.call('fs.rename', { target: this.#target, from, to, replace }, nothing, signal);
  }

  setAttributes(path: string, attributes: FileAttributes, signal?: AbortSignal): Promise<void> {
    const { mode, uid, gid, followLinks: follow } = attributes;
    return this.#control.call(
      'fs.attributes',
      { target: this.#target, path, mode, uid, gid, follow },
      nothing,
      signal,
    );
  }

  /** Resolves once nothing is missed any more. */
  watch(path: string, recursive: boolean, signal?: AbortSignal): Promise<AsyncIterable<FileChange>> {
    return openWatch(this.#control, { target: this.#target, path, recursive }, signal);
  }
}
