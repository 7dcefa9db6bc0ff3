import { isVivError, type SnapshotInfo, type SnapshotOptions, VivError } from '@vivarium/model';
import type { Instance } from '../instances/instance.ts';
import type { SnapshotRoom } from '../snapshots/snapshots.ts';
import type { Making } from './request.ts';

/** A snapshot. What a kill cut off has left nothing, and what was complete is on the shelf with the mark. */
export function snapshotMaking(
  room: SnapshotRoom,
  instance: Instance,
  { name, expires, tags }: SnapshotOptions,
): Making<SnapshotInfo> {
  return {
    asked: ['snapshot', instance.id, { name, expires, tags }],
    make: (call) => room.create(instance, { name, expires, tags, ...call }),
    ids: ({ id }) => [id],
    again: async ([id = '']) => standing(room, id),
    found: async (request) => room.madeFor(request),
  };
}

function standing(room: SnapshotRoom, id: string): SnapshotInfo {
  try {
    return room.get(id);
  } catch (cause) {
    if (!isVivError(cause, 'not_found')) throw cause;
    throw new VivError('not_found', 'The snapshot that this request made has been removed since', {
      details: { id },
      cause,
    });
  }
}
