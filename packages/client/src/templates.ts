import type { Freed, Template } from '@vivarium/api';
import { templateFromWire, type WarmOptions, warmToWire } from '@vivarium/api/wire';
import type { CallOptions, Task, TemplateInfo, Templates } from '@vivarium/model';
import { longTask } from './lines.ts';
import type { Transport } from './transport.ts';

/** Booted memory, through the daemon. */
export class RemoteTemplates implements Templates {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async list(): Promise<TemplateInfo[]> {
    return (await this.#transport.json<Template[]>('listTemplates')).value.map(templateFromWire);
  }

  warm(options: WarmOptions & CallOptions = {}): Task<TemplateInfo[]> {
    const json = warmToWire(options);
    return longTask(this.#transport, 'warmTemplates', { json }, options, (wires: Template[]) =>
      wires.map(templateFromWire),
    );
  }

  async remove(id: string): Promise<{ freedBytes: number }> {
    const { value } = await this.#transport.json<Freed>('deleteTemplate', { params: { id } });
    return { freedBytes: value.freed_bytes };
  }

  async clear(): Promise<{ freedBytes: number }> {
    return { freedBytes: (await this.#transport.json<Freed>('deleteTemplates')).value.freed_bytes };
  }
}
