import { formatSize, type TemplateInfo, type Templates } from '@vivarium/model';
import type { Template, WarmTemplates } from '../schemas/template.ts';
import { present } from './present.ts';

/** What {@link Templates.warm} is told, without how to follow it. */
export type WarmOptions = Pick<
  NonNullable<Parameters<Templates['warm']>[0]>,
  'image' | 'cpus' | 'memory' | 'disk'
>;

export function templateToWire(info: TemplateInfo): Template {
  return present<Template>({
    id: info.id,
    level: info.level,
    image: info.image?.reference,
    image_digest: info.image?.digest,
    vcpus: info.cpus,
    size: formatSize(info.memoryBytes),
    memory_bytes: info.memoryBytes,
    size_bytes: info.sizeBytes,
    created_at: info.createdAt,
    used_at: info.usedAt,
  });
}

export function templateFromWire(wire: Template): TemplateInfo {
  const { image: reference, image_digest: digest } = wire;
  return present<TemplateInfo>({
    id: wire.id,
    level: wire.level as TemplateInfo['level'],
    image: reference === undefined ? undefined : { reference, digest: digest ?? '' },
    cpus: wire.vcpus,
    memoryBytes: wire.memory_bytes,
    sizeBytes: wire.size_bytes,
    createdAt: wire.created_at,
    usedAt: wire.used_at,
  });
}

export function warmToWire({ image, cpus, memory, disk }: WarmOptions): WarmTemplates {
  return present<WarmTemplates>({ image, vcpus: cpus, size: memory, overlay_size: disk });
}

export function warmFromWire({ image, vcpus, size, overlay_size }: WarmTemplates): WarmOptions {
  return present<WarmOptions>({ image, cpus: vcpus, memory: size, disk: overlay_size });
}
