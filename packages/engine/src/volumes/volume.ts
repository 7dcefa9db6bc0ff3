import path from 'node:path';
import { VivError } from '@vivarium/model';
import { serialOf, type VolumeRecord } from './record.ts';

/** A volume in memory. */
export class Volume {
  record: VolumeRecord;
  readonly dir: string;
  readonly serial: string;
  /** What is being done with it, for people: nothing else may be meanwhile. */
  held: string | undefined;
  /** A guest is making it fit for readers. */
  cleaning: Promise<void> | undefined;

  constructor(record: VolumeRecord, volumesDir: string) {
    this.record = record;
    this.dir = path.join(volumesDir, record.id);
    this.serial = serialOf(record.id);
  }

  get id(): string {
    return this.record.id;
  }

  get name(): string {
    return this.record.name;
  }

  /** @throws VivError `busy` where something is being done with it. */
  expectFree(): void {
    if (this.held === undefined) return;
    throw new VivError('busy', `The volume ${this.name} is being ${this.held}`, {
      hint: 'Wait for that to end, and try again.',
    });
  }

  /** As {@link Volume.expectFree}, for whoever does more than read it: a guest may be making it fit for readers. */
  expectUntouched(): void {
    this.expectFree();
    if (this.cleaning === undefined) return;
    throw new VivError('busy', `The journal of the volume ${this.name} is being replayed`, {
      hint: 'Wait for that to end, and try again.',
    });
  }

  /** Nobody attaches, starts with, copies or removes it meanwhile. @throws VivError `busy`. */
  async hold<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.expectUntouched();
    this.held = what;
    try {
      return await work();
    } finally {
      this.held = undefined;
    }
  }
}
