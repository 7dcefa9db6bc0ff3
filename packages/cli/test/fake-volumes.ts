import {
  type CallOptions,
  type CopyVolumeOptions,
  type CreateVolumeOptions,
  type Detaching,
  type InstanceInfo,
  parseSize,
  Task,
  VivError,
  type VmVolumes,
  type VolumeInfo,
  type VolumeMount,
  type Volumes,
} from '@vivarium/model';
import type { FakeVivarium } from './fake-vivarium.ts';

const at = '2026-01-02T03:04:05.000Z';

/** The volumes of a {@link FakeVivarium}: who has them its instances say. What is imported is kept as it came. */
export class FakeVolumes implements Volumes {
  readonly #home: FakeVivarium;
  readonly #found = new Map<string, Omit<VolumeInfo, 'attachments'>>();
  readonly #contents = new Map<string, Buffer>();

  constructor(home: FakeVivarium) {
    this.#home = home;
  }

  async create(options: CreateVolumeOptions): Promise<VolumeInfo> {
    return this.#make(options);
  }

  async list({ tags = {} }: { tags?: Record<string, string> } = {}): Promise<VolumeInfo[]> {
    const wanted = Object.entries(tags);
    const fitting = [...this.#found.values()].filter((volume) =>
      wanted.every(([key, value]) => volume.tags[key] === value),
    );
    return fitting.map((volume) => this.#info(volume));
  }

  async get(volume: string): Promise<VolumeInfo> {
    const found = [...this.#found.values()].find(({ id, name }) => id === volume || name === volume);
    if (found === undefined) throw new VivError('not_found', `No volume ${JSON.stringify(volume)}.`);
    return this.#info(found);
  }

  async remove(volume: string): Promise<void> {
    const { id, name, attachments } = await this.get(volume);
    if (attachments.length > 0) throw new VivError('conflict', `The volume ${name} is attached.`);
    this.#found.delete(id);
  }

  async resize(volume: string, size: number | string): Promise<VolumeInfo> {
    const { attachments: _, ...found } = await this.get(volume);
    this.#found.set(found.id, { ...found, sizeBytes: parseSize(size) });
    return this.get(volume);
  }

  clone(volume: string, options: CopyVolumeOptions & CallOptions = {}): Task<VolumeInfo> {
    return new Task(() => this.#copy(volume, options, false), this.#detaching('clone-volume'));
  }

  snapshot(volume: string, options: CopyVolumeOptions & CallOptions = {}): Task<VolumeInfo> {
    return new Task(() => this.#copy(volume, options, true), this.#detaching('snapshot-volume'));
  }

  import(archive: AsyncIterable<Uint8Array>, options: CreateVolumeOptions & CallOptions): Task<VolumeInfo> {
    return new Task(async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of archive) chunks.push(chunk);
      const made = this.#make(options);
      this.#contents.set(made.id, Buffer.concat(chunks));
      return made;
    }, this.#detaching('import-volume'));
  }

  async *export(volume: string): AsyncGenerator<Uint8Array> {
    yield this.#contents.get((await this.get(volume)).id) ?? Buffer.alloc(0);
  }

  /** Left to itself, it is an operation that is never looked after. */
  #detaching(action: string): Detaching {
    return { detach: async () => this.#home.operations.add(action, { background: true }) };
  }

  async #copy(volume: string, options: CopyVolumeOptions, readOnly: boolean): Promise<VolumeInfo> {
    const { id, sizeBytes, tags } = await this.get(volume);
    return this.#make({ size: sizeBytes, tags, ...options }, { readOnly, sourceId: id });
  }

  #make(
    { id = this.#home.newId(), name = this.#home.inventName(), size, tags = {} }: CreateVolumeOptions,
    more: Partial<VolumeInfo> = {},
  ): VolumeInfo {
    if ([...this.#found.values()].some((other) => other.name === name))
      throw new VivError('name_conflict', `There is a volume named ${name}.`);
    const sizeBytes = parseSize(size);
    const made = { id, name, sizeBytes, usedBytes: 0, tags, readOnly: false, createdAt: at, ...more };
    this.#found.set(id, made);
    return this.#info(made);
  }

  #info(volume: Omit<VolumeInfo, 'attachments'>): VolumeInfo {
    const attachments = [...this.#home.instances.values()].flatMap(({ id, name, volumes = [] }) =>
      volumes
        .filter(({ volumeId }) => volumeId === volume.id)
        .map(({ path, mode }) => ({ instanceId: id, instanceName: name, path, mode })),
    );
    return { ...volume, attachments };
  }
}

/** The volumes of one of its VMs. */
export class FakeVmVolumes implements VmVolumes {
  readonly #home: FakeVivarium;
  readonly #info: () => InstanceInfo;
  readonly #change: (changes: Partial<InstanceInfo>) => InstanceInfo;

  constructor(
    home: FakeVivarium,
    info: () => InstanceInfo,
    change: (changes: Partial<InstanceInfo>) => InstanceInfo,
  ) {
    this.#home = home;
    this.#info = info;
    this.#change = change;
  }

  async attach({ volume, path, mode = 'rw' }: VolumeMount): Promise<InstanceInfo> {
    const { id } = await this.#home.volumes.get(volume);
    this.#home.calls.push(`attach ${volume} ${path} ${mode}`);
    return this.#change({ volumes: [...(this.#info().volumes ?? []), { volumeId: id, path, mode }] });
  }

  async detach(volume: string, { force = false } = {}): Promise<InstanceInfo> {
    const { id } = await this.#home.volumes.get(volume);
    this.#home.calls.push(`detach ${volume}${force ? ' by force' : ''}`);
    return this.#change({ volumes: (this.#info().volumes ?? []).filter(({ volumeId }) => volumeId !== id) });
  }
}
