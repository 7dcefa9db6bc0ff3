import {
  type AskOptions,
  type CallOptions,
  type InstanceInfo,
  refuseAborted,
  type Task,
  type TemplateInfo,
  type Templates,
  VivError,
} from '@vivarium/model';
import { templateResource } from './engine-events.ts';
import type { Context } from './instances/context.ts';
import { hostOf, referenceOf } from './instances/create.ts';
import { machineMemory } from './instances/machine-spec.ts';
import { checkOptions, sizesOf } from './instances/resolve.ts';
import type { TemplateRoom } from './templates/templates.ts';

/** The templates of a data directory, as both doors show them. */
export class EngineTemplates implements Templates {
  readonly #context: Context;
  readonly #room: TemplateRoom;

  constructor(context: Context, room: TemplateRoom) {
    this.#context = context;
    this.#room = room;
  }

  async list(options: AskOptions = {}): Promise<TemplateInfo[]> {
    refuseAborted(options);
    return this.#room.all().map(({ info }) => info);
  }

  warm(options: Parameters<Templates['warm']>[0] = {}): Task<TemplateInfo[]> {
    const { signal, onProgress, image, cpus, memory, disk } = options;
    const asked = {
      action: 'warm',
      ...(image === undefined ? {} : { resource: { kind: 'image', id: '', name: image } }),
      result: (made: TemplateInfo[]) => made.map(templateResource),
    };
    return this.#context.tasks.task(asked, { signal, onProgress }, async (call) => {
      checkOptions({ image: image ?? '', cpus, memory, disk }, hostOf(this.#context));
      const { memoryBytes, diskBytes, ...rest } = sizesOf(options);
      const subject = { ...rest, memoryBytes: machineMemory(memoryBytes) };
      const made = await this.#room.warm(
        image === undefined
          ? subject
          : { ...subject, image: await this.#image(image, call), diskBytes, network: 'user' as const },
        call,
      );
      return made.map(({ info }) => info);
    });
  }

  async #image(asked: string, call: CallOptions): Promise<InstanceInfo['image']> {
    const { digest } = await this.#context.images.ensure(asked, 'missing', call);
    return { reference: referenceOf(asked), digest };
  }

  async remove(id: string, options: AskOptions = {}): Promise<{ freedBytes: number }> {
    refuseAborted(options);
    const found = this.#room.all().filter(({ info }) => info.id.startsWith(id));
    const [template, other] = found;
    if (template === undefined || id === '') throw new VivError('not_found', `No template has the id ${id}`);
    if (other !== undefined)
      throw new VivError('ambiguous', `${found.length} templates have ids that begin with ${id}`);
    return this.#room.remove(template.info.id);
  }

  async clear(options: AskOptions = {}): Promise<{ freedBytes: number }> {
    refuseAborted(options);
    let freedBytes = 0;
    for (const { info } of this.#room.all()) freedBytes += (await this.#room.remove(info.id)).freedBytes;
    return { freedBytes };
  }
}
