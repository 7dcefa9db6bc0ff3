import { type Tokens, VivError } from '@vivarium/model';
import type { Context } from './context.ts';

/** The tokens of the daemon. @throws VivError `not_supported` where there is none. */
export async function tokensOf(context: Context): Promise<Tokens> {
  const { tokens } = await context.vivarium();
  if (tokens !== undefined) return tokens;
  throw new VivError('not_supported', 'Only a daemon has tokens');
}
