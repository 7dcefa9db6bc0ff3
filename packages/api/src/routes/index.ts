import { copyRules } from './copies.ts';
import { eventRules } from './events.ts';
import { fileRules } from './files.ts';
import { guestRules } from './guest.ts';
import { imageRules } from './images.ts';
import { instanceRules } from './instances.ts';
import { metricRules } from './metrics.ts';
import { operationRules } from './operations.ts';
import { poolRules } from './pools.ts';
import { resourceRules } from './resources.ts';
import { type Route, routesOf } from './route.ts';
import { scheduleRules } from './schedules.ts';
import { sessionRules } from './sessions.ts';
import { snapshotRules } from './snapshots.ts';
import { systemRules } from './system.ts';
import { templateRules } from './templates.ts';
import { tokenRules } from './tokens.ts';
import { volumeRules } from './volumes.ts';

/** Every route of the API. */
export const routes: readonly Route[] = routesOf({
  ...systemRules,
  ...eventRules,
  ...operationRules,
  ...metricRules,
  ...imageRules,
  ...instanceRules,
  ...guestRules,
  ...fileRules,
  ...sessionRules,
  ...copyRules,
  ...snapshotRules,
  ...scheduleRules,
  ...templateRules,
  ...poolRules,
  ...resourceRules,
  ...tokenRules,
  ...volumeRules,
});
