import { formatSize, type TemplateInfo } from '@vivarium/model';
import { shortReference } from './instances.ts';
import type { Column } from './table.ts';
import { ageOf } from './time.ts';

/** The columns of `template ls`. */
export function templateColumns(now = Date.now()): Column<TemplateInfo>[] {
  return [
    { title: 'ID', value: ({ id }) => id },
    { title: 'LEVEL', value: ({ level }) => level },
    { title: 'IMAGE', value: ({ image }) => (image ? shortReference(image.reference) : ''), shrinks: true },
    { title: 'CPUS', value: ({ cpus }) => String(cpus), align: 'right' },
    { title: 'MEMORY', value: ({ memoryBytes }) => formatSize(memoryBytes), align: 'right' },
    { title: 'SIZE', value: ({ sizeBytes }) => formatSize(sizeBytes), align: 'right' },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
    { title: 'USED', value: ({ usedAt }) => `${ageOf(usedAt, now)} ago` },
  ];
}
