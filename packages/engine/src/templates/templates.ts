import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, type ProgressListener, VivError } from '@vivarium/model';
import { abortable } from '../guest/abort.ts';
import type { Instance } from '../instances/instance.ts';
import { bootSpec, machineMemory } from '../instances/machine-spec.ts';
import type { Operation } from '../operations/operation.ts';
import { type TemplateSubject, templateKey } from './key.ts';
import { makeTemplate, type Workshop } from './make.ts';
import { type TemplateChange, TemplateShelf } from './store.ts';
import type { Template, TemplateSource } from './template.ts';

export interface TemplateOptions {
  /** Bytes on disk that templates may take together; those not used for longest go first. Default 8 GiB. */
  maxBytes?: number;
  /** Milliseconds after a start before its image's template is made beside it. Default 1500. */
  backgroundDelayMs?: number;
}

const defaults = { maxBytes: 8 * 1024 ** 3, backgroundDelayMs: 1500 } as const;
/** A boot on a loaded host. Milliseconds. */
const makingTimeoutMs = 180_000;
/** After a failure nobody tries the same again for so long: starts boot meanwhile. Milliseconds. */
const retryAfterMs = 60_000;

/** Booted memory that starts go on from: made when it is first missed, used until something it was made from changes. */
export class TemplateRoom implements TemplateSource, AsyncDisposable {
  readonly #shop: Workshop;
  readonly #shelf: TemplateShelf;
  readonly #options: Required<TemplateOptions>;
  readonly #warn: (message: string) => void;
  readonly #making = new Map<string, Promise<Template>>();
  readonly #failedAt = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #background = new Map<string, Promise<void>>();

  constructor(
    shop: Workshop,
    dir: string,
    {
      warn,
      changed,
      ...options
    }: TemplateOptions & { warn: (message: string) => void; changed?: TemplateChange },
  ) {
    this.#shop = shop;
    this.#shelf = new TemplateShelf(dir, changed);
    this.#options = { ...defaults, ...options };
    this.#warn = warn;
  }

  open(): Promise<void> {
    return this.#shelf.open();
  }

  all(): Template[] {
    return this.#shelf.all();
  }

  async forStart(instance: Instance, operation: Operation): Promise<Template | undefined> {
    if (!this.#shop.driver.capabilities().save) return undefined;
    const { record } = instance;
    try {
      const image = record.generation === 0 ? await this.#ready(imageSubject(instance)) : undefined;
      const template = image ?? (await this.#get(kernelSubject(instance), operation));
      if (template !== undefined) void this.#shelf.touch(template);
      return template;
    } catch (error) {
      operation.signal.throwIfAborted();
      instance.emit('warning', {
        message: `No template could be made for it: ${VivError.from(error).message}`,
      });
      return undefined;
    }
  }

  async forKernel(
    shape: { cpus: number; memoryBytes: number },
    signal: AbortSignal,
  ): Promise<Template | undefined> {
    if (!this.#shop.driver.capabilities().save) return undefined;
    try {
      const template = await abortable(this.#share({ level: 'kernel', ...shape }), signal);
      void this.#shelf.touch(template);
      return template;
    } catch (error) {
      signal.throwIfAborted();
      this.#warn(`No template for a guest without root could be made: ${VivError.from(error).message}`);
      return undefined;
    }
  }

  async prepareDisk(template: Template, dir: string): Promise<void> {
    if (template.info.level === 'image') await this.#shop.disks.copy(template.state.dir, dir);
  }

  async discard(template: Template): Promise<void> {
    await this.#shelf.remove(template.info.id);
  }

  started(instance: Instance): void {
    if (!this.#shop.driver.capabilities().save || this.#closing.signal.aborted) return;
    const subject = imageSubject(instance);
    const key = JSON.stringify(subject);
    if (this.#background.has(key)) return;
    this.#background.set(
      key,
      this.#makeLater(subject).finally(() => this.#background.delete(key)),
    );
  }

  /** What a start of such an instance would use, made where it is missing. */
  async warm(
    subject: Omit<TemplateSubject, 'level'>,
    { signal, onProgress }: CallOptions = {},
  ): Promise<Template[]> {
    if (!this.#shop.driver.capabilities().save)
      throw new VivError('not_supported', `The ${this.#shop.driver.name} driver has no templates`);
    const { image, cpus, memoryBytes } = subject;
    const kernel = await abortable(this.#share({ level: 'kernel', cpus, memoryBytes }, onProgress), signal);
    if (image === undefined) return [kernel];
    return [kernel, await abortable(this.#share({ ...subject, level: 'image' }, onProgress), signal)];
  }

  async remove(key: string): Promise<{ freedBytes: number }> {
    await this.#making.get(key)?.catch(() => undefined);
    return { freedBytes: await this.#shelf.remove(key) };
  }

  /** The image is gone: nobody can start from its root any more. */
  async forgetImage(digest: string): Promise<void> {
    for (const { info } of this.#shelf.all()) if (info.image?.digest === digest) await this.remove(info.id);
  }

  /** What is being made goes no step further: a test has killed it. */
  forgetAll(): void {
    this.#making.clear();
    this.#background.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new VivError('cancelled', 'The engine is being closed'));
    await Promise.allSettled([...this.#making.values(), ...this.#background.values()]);
  }

  async #ready(subject: TemplateSubject): Promise<Template | undefined> {
    return this.#shelf.get(await this.#keyOfUsable(subject));
  }

  async #get(subject: TemplateSubject, operation: Operation): Promise<Template | undefined> {
    const key = await this.#keyOfUsable(subject);
    const failed = this.#failedAt.get(key);
    if (
      this.#shelf.get(key) === undefined &&
      failed !== undefined &&
      performance.now() - failed < retryAfterMs
    )
      return undefined;
    operation.step('make a template');
    return abortable(
      this.#share(subject, (progress) => operation.progress(progress)),
      operation.signal,
    );
  }

  async #key(subject: TemplateSubject): Promise<string> {
    const { driver, boot } = this.#shop;
    return templateKey(subject, await driver.build(bootSpec(boot)), boot);
  }

  /** What is there under it can be used: one whose guests would not keep time is removed, as if it were another. */
  async #keyOfUsable(subject: TemplateSubject): Promise<string> {
    const key = await this.#key(subject);
    const there = this.#shelf.get(key);
    if (there === undefined || (await this.#shop.driver.keepsTime(there.state))) return key;
    if (this.#shelf.get(key) === there) await this.#shelf.remove(key);
    return key;
  }

  /** The one that is there, or the one that is being made, or a new one. Whoever waits can go; the making goes on. */
  async #share(subject: TemplateSubject, onProgress?: ProgressListener): Promise<Template> {
    const key = await this.#keyOfUsable(subject);
    const there = this.#shelf.get(key);
    if (there !== undefined) return there;
    onProgress?.({ stage: 'booting' });
    const making = this.#making.get(key) ?? this.#make(key, subject).finally(() => this.#making.delete(key));
    this.#making.set(key, making);
    return making;
  }

  async #make(key: string, subject: TemplateSubject): Promise<Template> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(makingTimeoutMs)]);
    try {
      const { cpus, memoryBytes, level } = subject;
      const base = level === 'image' ? await this.#share({ level: 'kernel', cpus, memoryBytes }) : undefined;
      signal.throwIfAborted();
      await makeTemplate(this.#shop, subject, { dir: this.#shelf.path(key), base, signal });
      const template = await this.#shelf.add(key, subject);
      this.#failedAt.delete(key);
      await this.#keepBudget(key);
      return template;
    } catch (error) {
      this.#failedAt.set(key, performance.now());
      throw error;
    }
  }

  async #makeLater(subject: TemplateSubject): Promise<void> {
    try {
      if ((await this.#ready(subject)) !== undefined) return;
      await delay(this.#options.backgroundDelayMs, undefined, { ref: false, signal: this.#closing.signal });
      await this.#share(subject);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#warn(`The template of ${subject.image?.reference} was not made: ${VivError.from(error).message}`);
    }
  }

  async #keepBudget(newest: string): Promise<void> {
    let total = this.#shelf.all().reduce((sum, { info }) => sum + info.sizeBytes, 0);
    for (const { info } of this.#shelf.all().toReversed()) {
      if (total <= this.#options.maxBytes) return;
      if (info.id === newest) continue;
      total -= info.sizeBytes;
      await this.#shelf.remove(info.id);
    }
  }
}

function kernelSubject({ record: { spec } }: Instance): TemplateSubject {
  return { level: 'kernel', cpus: spec.cpus, memoryBytes: machineMemory(spec.memoryBytes) };
}

function imageSubject({ record: { spec } }: Instance): TemplateSubject {
  return {
    level: 'image',
    cpus: spec.cpus,
    memoryBytes: machineMemory(spec.memoryBytes),
    image: spec.image,
    diskBytes: spec.diskBytes,
    network: spec.network,
  };
}
