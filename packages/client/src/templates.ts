import type { Freed, Template } from '@vivarium/api';
import { templateFromWire, type WarmOptions, warmToWire } from '@vivarium/api/wire';
import type { AskOptions, CallOptions, Task, TemplateInfo, Templates } from '@vivarium/model';
import { longTask } from './lines.ts';
import type { Transport } from './transport.ts';

/** Booted memory, through the daemon. */
export class RemoteTemplates implements Templates {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async list({ signal }: AskOptions = {}): Promise<TemplateInfo[]> {
    return (await this.#transport.json<Template[]>('listTemplates', { signal })).value.map(templateFromWire);
  }

  warm(options: WarmOptions & CallOptions = {}): Task<TemplateInfo[]> {
    const json = warmToWire(options);
    return longTask(this.#transport, 'warmTemplates', { json }, options, (wires: Template[]) =>
      wires.map(templateFromWire),
    );
  }

  async remove(id: string, { signal }: AskOptions = {}): Promise<{ freedBytes: number }> {
    const { value } = await this.#transport.json<Freed>('deleteTemplate', { params: { id }, signal });
    return { freedBytes: value.freed_bytes };
  }

  async clear({ signal }: AskOptions = {}): Promise<{ freedBytes: number }> {
    const { value } = await this.#transport.json<Freed>('deleteTemplates', { signal });
    return { freedBytes: value.freed_bytes };
  }
}
