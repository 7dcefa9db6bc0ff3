import { appendFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import type { MachineSpec } from '../driver.ts';

/** The log files of one simulated machine, rotated as the shim rotates them. */
export class MachineLogs {
  readonly #dir: string;
  readonly #limits: MachineSpec['logs'];
  readonly #sizes = new Map<string, number>();

  constructor(spec: Pick<MachineSpec, 'dir' | 'logs'>) {
    this.#dir = spec.dir;
    this.#limits = spec.logs;
  }

  append(name: 'console.log' | 'app.log', data: string | Uint8Array): void {
    const file = path.join(this.#dir, name);
    const size = this.#sizes.get(name) ?? statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    try {
      appendFileSync(file, data, { mode: 0o600 });
    } catch (error) {
      // The directory was removed under the machine; a shim would go on writing to the unlinked file.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    const grown = size + Buffer.byteLength(data);
    if (grown >= this.#limits.maxBytes) this.#rotate(file);
    this.#sizes.set(name, grown >= this.#limits.maxBytes ? 0 : grown);
  }

  #rotate(file: string): void {
    for (let number = this.#limits.keep; number > 0; number--) {
      const older = number === 1 ? file : `${file}.${number - 1}`;
      if (statSync(older, { throwIfNoEntry: false }) !== undefined) renameSync(older, `${file}.${number}`);
    }
  }
}
