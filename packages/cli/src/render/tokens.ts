import type { TokenInfo } from '@vivarium/model';
import type { Column } from './table.ts';
import { ageOf, formatAge } from './time.ts';

function stateOf({ revokedAt, expiresAt }: TokenInfo, now: number): string {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt === undefined ? 'never' : `in ${formatAge(Date.parse(expiresAt) - now)}`;
}

/** The columns of `token ls`. */
export function tokenColumns(now = Date.now()): Column<TokenInfo>[] {
  return [
    { title: 'ID', value: ({ id }) => id },
    { title: 'NAME', value: ({ name }) => name ?? '', shrinks: true },
    { title: 'SCOPES', value: ({ scopes }) => scopes.join(' '), shrinks: true },
    { title: 'CREATED', value: ({ createdAt }) => `${ageOf(createdAt, now)} ago` },
    {
      title: 'EXPIRES',
      value: (token) => stateOf(token, now),
      colour: ({ revokedAt }) => (revokedAt === undefined ? undefined : 'red'),
    },
  ];
}
