import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TemplateInfo } from '@vivarium/model';
import { readSavedState } from '../saved-states/manifest.ts';
import type { TemplateSubject } from './key.ts';
import type { Template } from './template.ts';

/** Beside the files of the saved state; its time of change is when the template was used last. */
const factsName = 'template.json';

interface Facts extends TemplateSubject {
  id: string;
  createdAt: string;
}

/** Told of each template that has been made, and of each that goes. */
export type TemplateChange = (info: TemplateInfo, type: 'made' | 'removed') => void;

/** The directory of templates: one below it for each, by its key. */
export class TemplateShelf {
  readonly dir: string;
  readonly #known = new Map<string, Template>();

  readonly #changed: TemplateChange | undefined;

  constructor(dir: string, changed?: TemplateChange) {
    this.dir = dir;
    this.#changed = changed;
  }

  /** Finds what is there, and clears away what was left half-made. Unreadable ones are removed: they can be made again. */
  async open(): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.dir)) {
      const template = name.startsWith('.') ? undefined : await this.#read(name).catch(() => undefined);
      if (template === undefined) await rm(path.join(this.dir, name), { recursive: true, force: true });
      else this.#known.set(name, template);
    }
  }

  path(key: string): string {
    return path.join(this.dir, key);
  }

  get(key: string): Template | undefined {
    return this.#known.get(key);
  }

  all(): Template[] {
    return [...this.#known.values()].sort((a, b) => (a.info.usedAt < b.info.usedAt ? 1 : -1));
  }

  /** The files are in place; from here on it can be used. */
  async add(key: string, subject: TemplateSubject): Promise<Template> {
    const facts: Facts = {
      ...subject,
      id: key,
      createdAt: new Date().toISOString(),
    };
    await writeFile(path.join(this.path(key), factsName), JSON.stringify(facts), { mode: 0o600 });
    const template = await this.#read(key);
    if (template === undefined) throw new Error(`the template ${key} is not where it was put`);
    this.#known.set(key, template);
    this.#changed?.(template.info, 'made');
    return template;
  }

  /** Notes that it is in use, for whoever has to choose what goes. */
  async touch({ info }: Template): Promise<void> {
    const template = this.#known.get(info.id);
    if (template === undefined) return;
    const now = new Date();
    this.#known.set(info.id, { ...template, info: { ...template.info, usedAt: now.toISOString() } });
    // It may have been removed meanwhile; then there is nothing to note.
    await utimes(path.join(this.path(info.id), factsName), now, now).catch(() => undefined);
  }

  /** Answers the bytes that no other name holds. */
  async remove(key: string): Promise<number> {
    const template = this.#known.get(key);
    this.#known.delete(key);
    await rm(this.path(key), { recursive: true, force: true });
    if (template !== undefined) this.#changed?.(template.info, 'removed');
    return template?.info.sizeBytes ?? 0;
  }

  async #read(key: string): Promise<Template | undefined> {
    const dir = this.path(key);
    const state = await readSavedState(dir);
    if (state === undefined) return undefined;
    const file = path.join(dir, factsName);
    const facts = JSON.parse(await readFile(file, 'utf8')) as Facts;
    const { id, level, image, cpus, memoryBytes, createdAt } = facts;
    const info: TemplateInfo = {
      id,
      level,
      ...(image === undefined ? {} : { image }),
      cpus,
      memoryBytes,
      sizeBytes: await bytesBelow(dir),
      createdAt,
      usedAt: (await stat(file)).mtime.toISOString(),
    };
    return { info, state };
  }
}

/** What the files of a directory take on the disk. */
export async function bytesBelow(dir: string): Promise<number> {
  const names = await readdir(dir);
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(dir, name))).blocks * 512));
  return sizes.reduce((sum, size) => sum + size, 0);
}
