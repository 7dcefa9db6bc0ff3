import {
  type CallOptions,
  type ImageInfo,
  type Images,
  type MakingOptions,
  Task,
  VivError,
} from '@vivarium/model';
import type { StoredImage } from './images/store.ts';
import type { Context } from './instances/context.ts';
import { checkTags } from './instances/resolve.ts';
import { imageMaking, sourceOf } from './requests/images.ts';
import type { SnapshotRoom } from './snapshots/snapshots.ts';
import type { TemplateRoom } from './templates/templates.ts';

/** The image store, with what only the instances know: who uses what. */
export class EngineImages implements Images {
  readonly #context: Context;
  readonly #snapshots: SnapshotRoom;
  readonly #templates: TemplateRoom;

  constructor(context: Context, snapshots: SnapshotRoom, templates: TemplateRoom) {
    this.#context = context;
    this.#snapshots = snapshots;
    this.#templates = templates;
  }

  async list(): Promise<ImageInfo[]> {
    const users = this.#users();
    return this.#context.images.list().map((image) => withUsers(image, users));
  }

  async get(reference: string): Promise<ImageInfo> {
    const image = this.#context.images.find(reference);
    if (image === undefined) {
      throw new VivError('image_not_found', `No image ${JSON.stringify(reference)} in the store`, {
        hint: `Fetch it with \`viv pull ${reference}\`.`,
      });
    }
    return withUsers(image, this.#users());
  }

  pull(
    reference: string,
    options: MakingOptions & { insecure?: boolean; tags?: Record<string, string> } = {},
  ): Task<ImageInfo> {
    return new Task(async (listener) => {
      const { images, requests } = this.#context;
      const { insecure, tags } = options;
      checkTags(tags);
      const making = imageMaking(images, ['pull', reference, { insecure, tags }], async (call) => {
        const image = await images.pull(reference, { ...call, insecure });
        return [tags === undefined ? image : await images.label(image.digest, tags)];
      });
      const [image] = await requests.once(withListener(options, listener), making);
      return withUsers(image as StoredImage, this.#users());
    });
  }

  import(path: string, options: MakingOptions & { reference?: string } = {}): Task<ImageInfo[]> {
    return new Task(async (listener) => {
      const { images, requests } = this.#context;
      const { reference, idempotencyKey: key } = options;
      const asked = ['import', key === undefined ? path : await sourceOf(path), { reference }];
      const making = imageMaking(images, asked, (call) => images.import(path, { ...call, reference }));
      const found = await requests.once(withListener(options, listener), making);
      return found.map((image) => withUsers(image, this.#users()));
    });
  }

  async tag(reference: string, newReference: string): Promise<ImageInfo> {
    return withUsers(await this.#context.images.tag(reference, newReference), this.#users());
  }

  async remove(reference: string): ReturnType<Images['remove']> {
    const removed = await this.#context.images.remove(reference, (digest) => this.#users().get(digest) ?? []);
    if (removed.deleted) await this.#templates.forgetImage(removed.digest);
    return removed;
  }

  #users(): Map<string, string[]> {
    const users = new Map<string, string[]>();
    const use = (digest: string, name: string) => {
      const names = users.get(digest);
      if (names === undefined) users.set(digest, [name]);
      else names.push(name);
    };
    for (const { record } of this.#context.instances.all()) use(record.spec.image.digest, record.name);
    for (const { image, instanceName, name } of this.#snapshots.list())
      use(image.digest, `${instanceName}/${name}`);
    return users;
  }
}

function withUsers(image: StoredImage, users: Map<string, string[]>): ImageInfo {
  return { ...image, usedBy: users.get(image.digest) ?? [] };
}

/** A call that tells the task it is made in of its progress, beside whoever asked for that. */
export function withListener<T extends CallOptions>(
  options: T,
  listener: NonNullable<CallOptions['onProgress']>,
): T {
  return {
    ...options,
    onProgress: (progress) => {
      options.onProgress?.(progress);
      listener(progress);
    },
  };
}
