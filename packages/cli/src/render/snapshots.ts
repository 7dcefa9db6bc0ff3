import { formatSize, type SnapshotInfo } from '@vivarium/model';
import { shortReference } from './instances.ts';
import type { Column } from './table.ts';
import { ageOf, formatAge } from './time.ts';

/** Enough of an id to name one by. */
export const shortId = (id: string): string => id.slice(0, 12);

export function formatExpiry(expiresAt: string | undefined, now: number): string {
  return expiresAt === undefined ? '' : `in ${formatAge(Date.parse(expiresAt) - now)}`;
}

/** The columns of `snapshot ls`. */
export function snapshotColumns(now = Date.now()): Column<SnapshotInfo>[] {
  return [
    { title: 'VM', value: ({ instanceName }) => instanceName },
    { title: 'SNAPSHOT', value: ({ name }) => name },
    { title: 'ID', value: ({ id }) => shortId(id) },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'IMAGE', value: ({ image }) => shortReference(image.reference), shrinks: true },
    { title: 'SIZE', value: ({ sizeBytes }) => formatSize(sizeBytes), align: 'right' },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
    { title: 'EXPIRES', value: ({ expiresAt }) => formatExpiry(expiresAt, now) },
  ];
}
