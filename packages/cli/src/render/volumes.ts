import { formatSize, type VolumeInfo } from '@vivarium/model';
import { shortId } from './snapshots.ts';
import type { Column } from './table.ts';
import { ageOf } from './time.ts';

function attachedTo({ attachments }: VolumeInfo): string {
  return attachments.map(({ instanceName, path, mode }) => `${instanceName}:${path} (${mode})`).join(', ');
}

/** The columns of `volume ls`. */
export function volumeColumns(now = Date.now()): Column<VolumeInfo>[] {
  return [
    { title: 'VOLUME', value: ({ name }) => name },
    { title: 'ID', value: ({ id }) => shortId(id) },
    { title: 'SIZE', value: ({ sizeBytes }) => formatSize(sizeBytes), align: 'right' },
    { title: 'USED', value: ({ usedBytes }) => formatSize(usedBytes), align: 'right' },
    { title: 'KIND', value: ({ readOnly }) => (readOnly ? 'snapshot' : 'volume') },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
    { title: 'ATTACHED TO', value: attachedTo, shrinks: true },
  ];
}
