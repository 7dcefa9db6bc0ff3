import type { MemoryReclaimed, HostResources as WireResources } from '@vivarium/api';
import { reclaimedFromWire, resourcesFromWire } from '@vivarium/api/wire';
import type { AskOptions, HostResources, Reclaimed, ReclaimOptions, Resources } from '@vivarium/model';
import type { Transport } from './transport.ts';

/** What the daemon's host has. */
export class RemoteResources implements Resources {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async get({ signal }: AskOptions = {}): Promise<HostResources> {
    return resourcesFromWire((await this.#transport.json<WireResources>('getResources', { signal })).value);
  }

  async reclaimMemory({ bytes, dryRun, reason, signal }: ReclaimOptions): Promise<Reclaimed> {
    const json = { reclaim_bytes: bytes, dry_run: dryRun, reason };
    return reclaimedFromWire(
      (await this.#transport.json<MemoryReclaimed>('reclaimMemory', { json, signal })).value,
    );
  }
}
