import {
  type AskOptions,
  type ImageInfo,
  type Images,
  type MakingOptions,
  refuseAborted,
  type Task,
  VivError,
} from '@vivarium/model';
import { imageResource } from './engine-events.ts';
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

  async list(options: AskOptions = {}): Promise<ImageInfo[]> {
    refuseAborted(options);
    const users = this.#users();
    return this.#context.images.list().map((image) => withUsers(image, users));
  }

  async get(reference: string, options: AskOptions = {}): Promise<ImageInfo> {
    refuseAborted(options);
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
    const { images, requests, tasks } = this.#context;
    const { insecure, tags, signal, onProgress, idempotencyKey } = options;
    const asked = {
      action: 'pull',
      resource: { kind: 'image', id: '', name: reference },
      journalled: true,
      result: (image: ImageInfo) => [imageResource(image)],
    };
    return tasks.task(asked, { signal, onProgress }, async (inner) => {
      checkTags(tags);
      const making = imageMaking(images, ['pull', reference, { insecure, tags }], async (call) => {
        const image = await images.pull(reference, { ...call, insecure });
        return [tags === undefined ? image : await images.label(image.digest, tags)];
      });
      const [image] = await requests.once({ ...inner, idempotencyKey }, making);
      return withUsers(image as StoredImage, this.#users());
    });
  }

  import(path: string, options: MakingOptions & { reference?: string } = {}): Task<ImageInfo[]> {
    const { images, requests, tasks } = this.#context;
    const { reference, signal, onProgress, idempotencyKey } = options;
    const asked = {
      action: 'import',
      resource: { kind: 'image', id: '', name: reference ?? path },
      journalled: true,
      result: (found: ImageInfo[]) => found.map(imageResource),
    };
    return tasks.task(asked, { signal, onProgress }, async (inner) => {
      const source = idempotencyKey === undefined ? path : await sourceOf(path);
      const making = imageMaking(images, ['import', source, { reference }], (call) =>
        images.import(path, { ...call, reference }),
      );
      const found = await requests.once({ ...inner, idempotencyKey }, making);
      return found.map((image) => withUsers(image, this.#users()));
    });
  }

  async tag(reference: string, newReference: string, options: AskOptions = {}): Promise<ImageInfo> {
    refuseAborted(options);
    return withUsers(await this.#context.images.tag(reference, newReference), this.#users());
  }

  async remove(reference: string, options: AskOptions = {}): ReturnType<Images['remove']> {
    refuseAborted(options);
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
