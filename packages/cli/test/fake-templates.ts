import {
  type CallOptions,
  parseSize,
  Task,
  type TemplateInfo,
  type Templates,
  VivError,
} from '@vivarium/model';

const at = '2026-01-02T03:04:05.000Z';

/** The templates of a {@link FakeVivarium}: what was warmed, the last one first. */
export class FakeTemplates implements Templates {
  #found: TemplateInfo[] = [];

  async list(): Promise<TemplateInfo[]> {
    return [...this.#found];
  }

  warm(options: { image?: string; cpus?: number; memory?: number | string } & CallOptions = {}) {
    return new Task(async () => {
      const { image, cpus = 1, memory = '256MB' } = options;
      const bytes = parseSize(memory);
      const made = this.#make('kernel', undefined, cpus, bytes);
      return image === undefined ? [made] : [made, this.#make('image', image, cpus, bytes)];
    });
  }

  async remove(id: string): Promise<{ freedBytes: number }> {
    const found = this.#found.find((template) => id !== '' && template.id.startsWith(id));
    if (found === undefined) throw new VivError('not_found', `No template ${JSON.stringify(id)}.`);
    this.#found = this.#found.filter((template) => template !== found);
    return { freedBytes: found.sizeBytes };
  }

  async clear(): Promise<{ freedBytes: number }> {
    const freedBytes = this.#found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#found = [];
    return { freedBytes };
  }

  #make(
    level: TemplateInfo['level'],
    image: string | undefined,
    cpus: number,
    memoryBytes: number,
  ): TemplateInfo {
    const key = Buffer.from(`${cpus} ${memoryBytes} ${image ?? ''}`).toString('hex');
    const id = `${key.slice(-15)}${level === 'kernel' ? '0' : '1'}`.padStart(16, '0');
    const known = this.#found.find((template) => template.id === id);
    if (known !== undefined) return known;
    const reference = `docker.io/library/${image}:latest`;
    const made: TemplateInfo = {
      id,
      level,
      ...(image === undefined ? {} : { image: { reference, digest: `sha256:${'ab'.repeat(32)}` } }),
      cpus,
      memoryBytes,
      sizeBytes: 2 ** 20,
      createdAt: at,
      usedAt: at,
    };
    this.#found.unshift(made);
    return made;
  }
}
