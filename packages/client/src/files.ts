import type { PathInfo } from '@vivarium/api';
import { statFromWire } from '@vivarium/api/wire';
import { type CopyOptions, type FileStat, VivError, type VmFiles } from '@vivarium/model';
import { readBytes, type Transport } from './transport.ts';

type Copied = { bytes: number; entries: number };

/** Files of a guest, through the daemon. Host paths are this process's, wherever the daemon is. */
export class RemoteFiles implements VmFiles {
  readonly #transport: Transport;
  readonly #id: string;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#id = id;
  }

  async copyIn(hostPath: string, guestPath: string, options?: CopyOptions): Promise<Copied> {
    // Loaded by the first copy: nobody else shall wait for it.
    const { copyIn } = await import('@vivarium/archive');
    return copyIn(this, hostPath, guestPath, options);
  }

  async copyOut(guestPath: string, hostPath: string, options?: CopyOptions): Promise<Copied> {
    const { copyOut } = await import('@vivarium/archive');
    return copyOut(this, guestPath, hostPath, options);
  }

  async putArchive(
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    options: CopyOptions = {},
  ): Promise<Copied> {
    const { signal } = options;
    const send = { params: { id: this.#id }, query: { path: guestDir }, bytes: tar, signal };
    return (await this.#transport.json<Copied>('putArchive', send)).value;
  }

  async *getArchive(guestPath: string, options: CopyOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal, followLinks } = options;
    const query = { path: guestPath, follow_links: followLinks };
    const answer = await this.#transport.send('getArchive', { params: { id: this.#id }, query, signal });
    yield* readBytes(answer, this.#transport.address, signal);
  }

  async stat(guestPath: string, options: { followLinks?: boolean } = {}): Promise<FileStat> {
    const query = { path: guestPath, follow_links: options.followLinks };
    const { value } = await this.#transport.json<PathInfo>('statPath', { params: { id: this.#id }, query });
    if (!value.exists)
      throw new VivError('path_not_found', value.error ?? `${guestPath}: no such file or directory`);
    return statFromWire(value);
  }

  readFile(guestPath: string): Promise<Buffer> {
    return this.#transport.bytes('readFile', { params: { id: this.#id }, query: { path: guestPath } });
  }

  async writeFile(
    guestPath: string,
    data: string | Uint8Array,
    options: { mode?: number; uid?: number; gid?: number } = {},
  ): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    await this.#transport.bytes('writeFile', {
      params: { id: this.#id },
      query: { path: guestPath, ...options },
      bytes,
    });
  }
}
