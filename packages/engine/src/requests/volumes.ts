import { VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Volume } from '../volumes/volume.ts';
import type { Making, MarkedCall } from './request.ts';

/** A volume: an empty one, or a copy. What a kill cut off has left nothing. `asked`: what it is known by. */
export function volumeMaking(
  { volumes }: Context,
  asked: unknown,
  make: (call: MarkedCall) => Promise<Volume>,
): Making<Volume> {
  return {
    asked,
    make,
    ids: ({ id }) => [id],
    again: async ([id = '']) => {
      const volume = volumes.registry.byId(id);
      if (volume?.record.phase === 'made') return volume;
      throw new VivError('not_found', 'The volume that this request made has been removed since', {
        details: { id },
      });
    },
    found: async (request) => volumes.registry.all().find(({ record }) => record.request === request),
  };
}
