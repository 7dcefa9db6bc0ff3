import type { EndpointName } from './endpoints.ts';

/** What a driver must be able to do for a feature; by the words of its own capabilities. */
export type FeatureNeed = 'save' | 'volumes' | 'pause' | 'prepare' | 'shutdownKeepsVmm';

export interface Feature {
  /** By which it is had. */
  readonly routes: readonly EndpointName[];
  readonly needs?: FeatureNeed;
}

/** Ids as `/capabilities` names them, hypeman's where it has one. Every route is of exactly one. */
export const features: Readonly<Record<string, Feature>> = {
  instances: {
    routes: [
      'createInstance',
      'listInstances',
      'getInstance',
      'updateInstance',
      'deleteInstance',
      'startInstance',
      'stopInstance',
      'restartInstance',
      'waitInstance',
    ],
  },
  images: {
    routes: ['createImage', 'listImages', 'importImage', 'getImage', 'deleteImage', 'tagImage'],
  },
  exec: { routes: ['exec', 'attach'] },
  logs: { routes: ['instanceLogs'] },
  stats: { routes: ['instanceStats'] },
  limits: { routes: ['instanceLimits'] },
  pause: { routes: ['pauseInstance', 'resumeInstance'], needs: 'pause' },
  shutdown: { routes: ['shutdownInstance'], needs: 'shutdownKeepsVmm' },
  prepare: { routes: ['prepareInstance'], needs: 'prepare' },
  sessions: {
    routes: [
      'listSessions',
      'startSession',
      'getSession',
      'closeSession',
      'signalSession',
      'sessionOutput',
      'attachSession',
    ],
  },
  files: {
    routes: [
      'copy',
      'statPath',
      'readFile',
      'writeFile',
      'getArchive',
      'putArchive',
      'listDirectory',
      'makeDirectory',
      'removePath',
      'renamePath',
      'setAttributes',
      'watchPath',
    ],
  },
  console: { routes: ['console'] },
  tunnel: { routes: ['tunnel'] },
  standby: { routes: ['suspendInstance', 'restoreInstance', 'discardInstance'], needs: 'save' },
  'auto-standby': { routes: ['autoStandbyStatus', 'autoStandbyHold'], needs: 'save' },
  fork: { routes: ['forkInstance', 'forkInstances'], needs: 'save' },
  snapshots: {
    routes: [
      'createSnapshot',
      'listInstanceSnapshots',
      'getInstanceSnapshot',
      'deleteInstanceSnapshot',
      'restoreSnapshot',
      'listSnapshots',
      'getSnapshot',
      'deleteSnapshot',
      'forkSnapshot',
      'forkSnapshots',
    ],
    needs: 'save',
  },
  'snapshot-schedules': {
    routes: ['getSnapshotSchedule', 'setSnapshotSchedule', 'deleteSnapshotSchedule'],
    needs: 'save',
  },
  templates: {
    routes: ['listTemplates', 'warmTemplates', 'deleteTemplates', 'deleteTemplate'],
    needs: 'save',
  },
  volumes: {
    routes: [
      'createVolume',
      'listVolumes',
      'importVolume',
      'getVolume',
      'deleteVolume',
      'resizeVolume',
      'cloneVolume',
      'snapshotVolume',
      'exportVolume',
      'attachVolume',
      'detachVolume',
    ],
    needs: 'volumes',
  },
  pools: {
    routes: [
      'createPool',
      'listPools',
      'getPool',
      'deletePool',
      'acquireInstance',
      'releaseInstance',
      'poolEvents',
    ],
  },
  operations: {
    routes: ['listOperations', 'getOperation', 'deleteOperation', 'cancelOperation', 'operationEvents'],
  },
  events: { routes: ['events', 'eventsSocket'] },
  metrics: { routes: ['metrics'] },
  resources: { routes: ['getResources'] },
  'memory-reclaim': { routes: ['reclaimMemory'], needs: 'save' },
  tokens: { routes: ['createToken', 'listTokens', 'revokeToken'] },
  doctor: { routes: ['doctor', 'rebuild'] },
  'api-description': { routes: ['health', 'capabilities', 'openapi', 'docs'] },
};

/** Ids of what a server over a driver that can do these has. */
export function featuresWith(can: Readonly<Record<FeatureNeed, boolean>>): string[] {
  return Object.entries(features)
    .filter(([, { needs }]) => needs === undefined || can[needs])
    .map(([id]) => id);
}
