import {
  type AskOptions,
  type CallOptions,
  type CopyVolumeOptions,
  type CreateVolumeOptions,
  type InstanceInfo,
  type MakingOptions,
  refuseAborted,
  type Task,
  type VmVolumes,
  type VolumeInfo,
  type VolumeMount,
  type Volumes,
  withTags,
} from '@vivarium/model';
import { volumeResource } from './engine-events.ts';
import type { Context } from './instances/context.ts';
import type { Instance } from './instances/instance.ts';
import { instanceInfo } from './instances/view.ts';
import { attachVolume, detachVolume } from './instances/volumes.ts';
import { volumeMaking } from './requests/volumes.ts';
import { copyVolume, resizeVolume } from './volumes/copy.ts';
import { exportVolume, importVolume } from './volumes/transfer.ts';
import { Upload } from './volumes/upload.ts';
import type { Volume } from './volumes/volume.ts';

const never = new AbortController().signal;

const made = (volume: VolumeInfo) => [volumeResource(volume)];

/** The volumes of a data directory, as both doors show them. */
export class EngineVolumes implements Volumes {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async create({
    signal,
    onProgress,
    idempotencyKey,
    ...options
  }: CreateVolumeOptions & MakingOptions): Promise<VolumeInfo> {
    const { volumes, requests } = this.#context;
    refuseAborted({ signal });
    const making = volumeMaking(this.#context, ['volume', options], ({ request }) =>
      volumes.create(options, request === undefined ? {} : { request }),
    );
    return this.#info(await requests.once({ signal, onProgress, idempotencyKey }, making));
  }

  async list({ tags, signal }: AskOptions & { tags?: Record<string, string> } = {}): Promise<VolumeInfo[]> {
    refuseAborted({ signal });
    const wanted = withTags(tags);
    const fitting = this.#context.volumes.registry.all().filter(({ record }) => wanted(record.tags));
    return Promise.all(fitting.map((volume) => this.#info(volume)));
  }

  async get(volume: string, options: AskOptions = {}): Promise<VolumeInfo> {
    refuseAborted(options);
    return this.#info(this.#find(volume));
  }

  async remove(volume: string, options: AskOptions = {}): Promise<void> {
    refuseAborted(options);
    await this.#context.volumes.remove(this.#find(volume));
  }

  async resize(volume: string, size: number | string, options: AskOptions = {}): Promise<VolumeInfo> {
    refuseAborted(options);
    const found = this.#find(volume);
    await resizeVolume(this.#context, found, size);
    return this.#info(found);
  }

  clone(volume: string, options: CopyVolumeOptions & MakingOptions = {}): Task<VolumeInfo> {
    return this.#copy(volume, options, false);
  }

  snapshot(volume: string, options: CopyVolumeOptions & MakingOptions = {}): Task<VolumeInfo> {
    return this.#copy(volume, options, true);
  }

  import(
    archive: AsyncIterable<Uint8Array>,
    { signal, onProgress, idempotencyKey, ...options }: CreateVolumeOptions & MakingOptions,
  ): Task<VolumeInfo> {
    const { tasks, requests } = this.#context;
    const asked = { action: 'import-volume', journalled: true, result: made };
    return tasks.task(asked, { signal, onProgress }, async (inner) => {
      const upload = new Upload(archive);
      const making = volumeMaking(this.#context, ['volume import', options], (call) =>
        importVolume(this.#context, upload, options, call),
      );
      const volume = await requests.once({ ...inner, idempotencyKey }, making);
      await upload.expectOf(volume, inner.signal);
      return this.#info(volume);
    });
  }

  export(volume: string, { signal = never }: CallOptions = {}): AsyncIterable<Uint8Array> {
    return exportVolume(this.#context, this.#find(volume), signal);
  }

  #copy(
    volume: string,
    { name, tags, signal, onProgress, idempotencyKey }: CopyVolumeOptions & MakingOptions,
    readOnly: boolean,
  ): Task<VolumeInfo> {
    const { tasks, requests, ledger } = this.#context;
    const options = {
      ...(name === undefined ? {} : { name }),
      ...(tags === undefined ? {} : { tags }),
      readOnly,
    };
    const asked = { action: readOnly ? 'snapshot-volume' : 'clone-volume', result: made };
    return tasks.task(asked, { signal, onProgress }, async (inner) => {
      const source = this.#find(volume);
      ledger.request?.begin(volumeResource(source));
      const making = volumeMaking(this.#context, ['volume copy', source.id, options], (call) =>
        copyVolume(this.#context, source, { ...options, ...call }),
      );
      return this.#info(await requests.once({ ...inner, idempotencyKey }, making));
    });
  }

  #find(volume: string): Volume {
    return this.#context.volumes.find(volume);
  }

  #info(volume: Volume): Promise<VolumeInfo> {
    return this.#context.volumes.info(volume);
  }
}

/** The volumes of one instance. */
export class EngineVmVolumes implements VmVolumes {
  readonly #context: Context;
  readonly #instance: Instance;

  constructor(context: Context, instance: Instance) {
    this.#context = context;
    this.#instance = instance;
  }

  async attach(volume: VolumeMount, options: CallOptions = {}): Promise<InstanceInfo> {
    await attachVolume(this.#context, this.#instance, volume, options);
    return instanceInfo(this.#instance, this.#context.driver.name);
  }

  async detach(volume: string, options: CallOptions & { force?: boolean } = {}): Promise<InstanceInfo> {
    await detachVolume(this.#context, this.#instance, volume, options);
    return instanceInfo(this.#instance, this.#context.driver.name);
  }
}
