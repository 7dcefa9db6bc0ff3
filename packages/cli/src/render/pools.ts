import type { PoolInfo } from '@vivarium/model';
import { shortReference } from './instances.ts';
import type { Column } from './table.ts';
import { ageOf } from './time.ts';

/** Health with what makes it understandable: why the last attempt failed, and when the next one is. */
export function formatHealth({ health, lastError }: PoolInfo, now = Date.now()): string {
  if (lastError === undefined) return health;
  const { message, retryAt } = lastError;
  const seconds = retryAt === undefined ? NaN : Math.ceil((Date.parse(retryAt) - now) / 1000);
  return `${health}: ${message}${seconds > 0 ? ` (again in ${seconds}s)` : ''}`;
}

const colours = { full: 'green', filling: 'yellow', failing: 'red' } as const;

/** The columns of `pool ls`. */
export function poolColumns(now = Date.now()): Column<PoolInfo>[] {
  return [
    { title: 'POOL', value: ({ name }) => name },
    { title: 'IMAGE', value: ({ image }) => shortReference(image), shrinks: true },
    { title: 'STAGE', value: ({ stage }) => stage },
    { title: 'READY', value: ({ ready, size }) => `${ready}/${size}`, align: 'right' },
    { title: 'CREATING', value: ({ creating }) => String(creating), align: 'right' },
    { title: 'ACQUIRED', value: ({ acquired }) => String(acquired), align: 'right' },
    {
      title: 'HEALTH',
      value: (info) => formatHealth(info, now),
      colour: ({ health }) => colours[health],
      shrinks: true,
    },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
  ];
}
