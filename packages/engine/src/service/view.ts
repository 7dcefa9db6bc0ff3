import type { ServiceInfo } from '@vivarium/model';
import type { Instance } from '../instances/instance.ts';
import type { RestartState } from './restart-rule.ts';

/** What an instance shows of what keeps it going. */
export function serviceInfo({ record, health }: Pick<Instance, 'record' | 'health'>): ServiceInfo {
  const { spec, restart, expiresAt, pendingChanges } = record;
  return {
    ...(spec.restartPolicy === undefined ? {} : { restartPolicy: spec.restartPolicy }),
    ...(restart === undefined ? {} : { restart: shown(restart) }),
    ...(spec.healthCheck === undefined ? {} : { healthCheck: spec.healthCheck }),
    ...(health === undefined ? {} : { health }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(spec.autostart === undefined ? {} : { autostart: spec.autostart }),
    ...(spec.logs === undefined ? {} : { logs: spec.logs }),
    ...(pendingChanges === undefined ? {} : { pendingChanges }),
  };
}

const inner: ReadonlySet<string> = new Set<keyof RestartState>(['failing', 'refusals']);

function shown(restart: NonNullable<Instance['record']['restart']>): ServiceInfo['restart'] {
  const { attempts, ...rest } = restart;
  const told = Object.entries(rest).filter(([key, value]) => !inner.has(key) && value !== undefined);
  return { attempts, ...Object.fromEntries(told) };
}
