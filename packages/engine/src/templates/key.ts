import { createHash } from 'node:crypto';
import type { InstanceInfo } from '@vivarium/model';
import type { BootFiles } from '../instances/machine-spec.ts';
import { cmdline } from '../instances/machine-spec.ts';

/** What a template is made for. */
export interface TemplateSubject {
  level: 'kernel' | 'image';
  cpus: number;
  memoryBytes: number;
  /** Only for `image`. */
  image?: InstanceInfo['image'];
  /** Of the root disk; only for `image`. */
  diskBytes?: number;
  /** Whether there is a card, which then needs no looking for after a restore; only for `image`. */
  network?: 'user' | 'none';
}

/** Raised when what a template holds changes its meaning. */
const format = 1;

/** Of everything that went into it: where any of that changes, it is another template. 16 hex digits. */
export function templateKey(subject: TemplateSubject, vmmBuild: string, boot: BootFiles): string {
  const { level, cpus, memoryBytes, image, diskBytes, network } = subject;
  const parts = [
    format,
    vmmBuild,
    boot.digests,
    cmdline,
    level,
    cpus,
    memoryBytes,
    image?.digest,
    diskBytes,
    network,
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
