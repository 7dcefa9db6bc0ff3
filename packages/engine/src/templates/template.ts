import type { TemplateInfo } from '@vivarium/model';
import type { SavedState } from '../drivers/driver.ts';
import type { Instance } from '../instances/instance.ts';
import type { Operation } from '../operations/operation.ts';

/** Booted memory, and the disk that belongs to it where a root is mounted in it. */
export interface Template {
  readonly info: TemplateInfo;
  readonly state: SavedState;
}

/** What instances want of booted memory. */
export interface TemplateSource {
  /**
   * The best one for a start, made where there is none (callers at the same time share the making, and none of them can end
   * it). Undefined where the driver can't, or making it failed: then the guest is booted.
   */
  forStart(instance: Instance, operation: Operation): Promise<Template | undefined>;
  /** As {@link forStart}, for a machine without root and network. */
  forKernel(shape: { cpus: number; memoryBytes: number }, signal: AbortSignal): Promise<Template | undefined>;
  /** Gives an instance that has never run the disk of the template's instant; nothing where no root is mounted. */
  prepareDisk(template: Template, dir: string): Promise<void>;
  /** It could not be loaded. */
  discard(template: Template): Promise<void>;
  /** A start has succeeded: what would have made it faster may be made now, in the background. */
  started(instance: Instance): void;
}

/** Every start is a boot. */
export const noTemplates: TemplateSource = {
  forStart: async () => undefined,
  forKernel: async () => undefined,
  prepareDisk: async () => undefined,
  discard: async () => undefined,
  started: () => undefined,
};
