import { type SessionInfo, VivError } from '@vivarium/model';
import { createId } from '../ids.ts';

/** Sessions with a colon in their id are the engine's own: nobody can have one started by such an id. */
const mark = ':';
const checks = `health${mark}`;

/** The image's own command. */
export const rootSession = `workload${mark}root`;

/** A new id, of a health check. */
export const checkSession = (): string => `${checks}${createId()}`;

/** @throws VivError `invalid_request` for one that is the engine's own. */
export function checkExecId(id: string): string {
  if (!id.includes(mark)) return id;
  throw new VivError('invalid_request', `A session can not be called ${JSON.stringify(id)}`, {
    hint: 'Ids with a colon are taken by the image’s command and by health checks.',
  });
}

/** What a session is for; undefined for a command that somebody has started. */
export function purposeOf(id: string): SessionInfo['purpose'] {
  if (id.startsWith(checks)) return 'health_check';
  return id.includes(mark) ? 'workload' : undefined;
}
