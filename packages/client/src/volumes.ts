import type { Instance, Volume } from '@vivarium/api';
import {
  copyVolumeToWire,
  createVolumeToWire,
  type EndpointName,
  mountToWire,
  volumeFromWire,
} from '@vivarium/api/wire';
import {
  type AskOptions,
  type CallOptions,
  type CopyVolumeOptions,
  type CreateVolumeOptions,
  type InstanceInfo,
  type MakingOptions,
  parseSize,
  type Task,
  type VmVolumes,
  type VolumeInfo,
  type VolumeMount,
  type Volumes,
} from '@vivarium/model';
import { withKey } from './again.ts';
import { longTask } from './lines.ts';
import { readBytes, type Send, type Transport } from './transport.ts';

/** All volumes, through the daemon. */
export class RemoteVolumes implements Volumes {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async create({
    signal,
    onProgress: _,
    idempotencyKey,
    ...options
  }: CreateVolumeOptions & MakingOptions): Promise<VolumeInfo> {
    const send = { json: createVolumeToWire(options), signal };
    return withKey('createVolume', send, { signal, idempotencyKey }, (keyed) =>
      this.#one('createVolume', keyed),
    );
  }

  async list({ tags, signal }: AskOptions & { tags?: Record<string, string> } = {}): Promise<VolumeInfo[]> {
    const { value } = await this.#transport.json<Volume[]>('listVolumes', { query: { tags }, signal });
    return value.map(volumeFromWire);
  }

  get(volume: string, { signal }: AskOptions = {}): Promise<VolumeInfo> {
    return this.#one('getVolume', { params: { id: volume }, signal });
  }

  async remove(volume: string, { signal }: AskOptions = {}): Promise<void> {
    await this.#transport.json('deleteVolume', { params: { id: volume }, signal });
  }

  async resize(volume: string, size: number | string, { signal }: AskOptions = {}): Promise<VolumeInfo> {
    const json = { size_bytes: parseSize(size, 'volume size') };
    return this.#one('resizeVolume', { params: { id: volume }, json, signal });
  }

  clone(volume: string, options: CopyVolumeOptions & MakingOptions = {}): Task<VolumeInfo> {
    const send = { params: { id: volume }, json: copyVolumeToWire(options) };
    return longTask(this.#transport, 'cloneVolume', send, options, volumeFromWire);
  }

  snapshot(volume: string, options: CopyVolumeOptions & MakingOptions = {}): Task<VolumeInfo> {
    const send = { params: { id: volume }, json: copyVolumeToWire(options) };
    return longTask(this.#transport, 'snapshotVolume', send, options, volumeFromWire);
  }

  import(archive: AsyncIterable<Uint8Array>, options: CreateVolumeOptions & MakingOptions): Task<VolumeInfo> {
    const query = createVolumeToWire(options);
    return longTask(this.#transport, 'importVolume', { query, bytes: archive }, options, volumeFromWire);
  }

  async *export(volume: string, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const send = { params: { id: volume }, ...(signal === undefined ? {} : { signal }) };
    const answer = await this.#transport.send('exportVolume', send);
    yield* readBytes(answer, this.#transport.address, signal);
  }

  async #one(name: EndpointName, send: Send): Promise<VolumeInfo> {
    return volumeFromWire((await this.#transport.json<Volume>(name, send)).value);
  }
}

/** The volumes of one VM, through the daemon. */
export class RemoteVmVolumes implements VmVolumes {
  readonly #transport: Transport;
  readonly #id: string;
  readonly #keep: (wire: Instance) => InstanceInfo;

  /** `keep` is told what has become of the instance. */
  constructor(transport: Transport, id: string, keep: (wire: Instance) => InstanceInfo) {
    this.#transport = transport;
    this.#id = id;
    this.#keep = keep;
  }

  async attach(volume: VolumeMount, { signal }: CallOptions = {}): Promise<InstanceInfo> {
    const { volume_id: vid, ...json } = mountToWire(volume);
    return this.#call('attachVolume', { params: { id: this.#id, vid }, json }, signal);
  }

  async detach(
    volume: string,
    { force, signal }: CallOptions & { force?: boolean } = {},
  ): Promise<InstanceInfo> {
    return this.#call('detachVolume', { params: { id: this.#id, vid: volume }, query: { force } }, signal);
  }

  async #call(name: EndpointName, send: Send, signal: AbortSignal | undefined): Promise<InstanceInfo> {
    const all = signal === undefined ? send : { ...send, signal };
    return this.#keep((await this.#transport.json<Instance>(name, all)).value);
  }
}
