import { copyRules } from './copies.ts';
import { guestRules } from './guest.ts';
import { imageRules } from './images.ts';
import { instanceRules } from './instances.ts';
import { poolRules } from './pools.ts';
import { resourceRules } from './resources.ts';
import { type Route, routesOf } from './route.ts';
import { snapshotRules } from './snapshots.ts';
import { systemRules } from './system.ts';
import { templateRules } from './templates.ts';

/** Every route of the API. */
export const routes: readonly Route[] = routesOf({
  ...systemRules,
  ...imageRules,
  ...instanceRules,
  ...guestRules,
  ...copyRules,
  ...snapshotRules,
  ...templateRules,
  ...poolRules,
  ...resourceRules,
});
