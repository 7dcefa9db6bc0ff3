/**
 * Method and path of every route, the one place where they are written down. `{id}` is an id, a name or an id prefix
 * (of a snapshot on its own: an id or its prefix), `{sid}` a snapshot of the instance, by either; `{name}` an image reference,
 * percent-encoded as one segment. Kept apart from the schemas so that the client, which needs
 * nothing else at run time, loads fast.
 */
export const endpoints = {
  health: ['GET', '/health'],
  capabilities: ['GET', '/capabilities'],
  openapi: ['GET', '/openapi.json'],
  docs: ['GET', '/docs'],
  doctor: ['GET', '/doctor'],
  rebuild: ['POST', '/doctor/rebuild'],
  events: ['GET', '/events'],
  getOperation: ['GET', '/operations/{id}'],

  createImage: ['POST', '/images'],
  listImages: ['GET', '/images'],
  importImage: ['POST', '/images/import'],
  getImage: ['GET', '/images/{name}'],
  deleteImage: ['DELETE', '/images/{name}'],
  tagImage: ['POST', '/images/{name}/tag'],

  createInstance: ['POST', '/instances'],
  listInstances: ['GET', '/instances'],
  getInstance: ['GET', '/instances/{id}'],
  updateInstance: ['PATCH', '/instances/{id}'],
  deleteInstance: ['DELETE', '/instances/{id}'],
  startInstance: ['POST', '/instances/{id}/start'],
  stopInstance: ['POST', '/instances/{id}/stop'],
  restartInstance: ['POST', '/instances/{id}/restart'],
  prepareInstance: ['POST', '/instances/{id}/prepare'],
  pauseInstance: ['POST', '/instances/{id}/pause'],
  resumeInstance: ['POST', '/instances/{id}/resume'],
  shutdownInstance: ['POST', '/instances/{id}/shutdown'],
  suspendInstance: ['POST', '/instances/{id}/standby'],
  restoreInstance: ['POST', '/instances/{id}/restore'],
  discardInstance: ['POST', '/instances/{id}/discard'],
  forkInstance: ['POST', '/instances/{id}/fork'],
  forkInstances: ['POST', '/instances/{id}/forks'],
  createSnapshot: ['POST', '/instances/{id}/snapshots'],
  listInstanceSnapshots: ['GET', '/instances/{id}/snapshots'],
  getInstanceSnapshot: ['GET', '/instances/{id}/snapshots/{sid}'],
  deleteInstanceSnapshot: ['DELETE', '/instances/{id}/snapshots/{sid}'],
  restoreSnapshot: ['POST', '/instances/{id}/snapshots/{sid}/restore'],
  waitInstance: ['GET', '/instances/{id}/wait'],
  instanceLogs: ['GET', '/instances/{id}/logs'],
  instanceStats: ['GET', '/instances/{id}/stats'],

  listSnapshots: ['GET', '/snapshots'],
  getSnapshot: ['GET', '/snapshots/{id}'],
  deleteSnapshot: ['DELETE', '/snapshots/{id}'],
  forkSnapshot: ['POST', '/snapshots/{id}/fork'],
  forkSnapshots: ['POST', '/snapshots/{id}/forks'],

  listTemplates: ['GET', '/templates'],
  warmTemplates: ['POST', '/templates'],
  deleteTemplates: ['DELETE', '/templates'],
  deleteTemplate: ['DELETE', '/templates/{id}'],

  createVolume: ['POST', '/volumes'],
  listVolumes: ['GET', '/volumes'],
  importVolume: ['POST', '/volumes/from-archive'],
  getVolume: ['GET', '/volumes/{id}'],
  deleteVolume: ['DELETE', '/volumes/{id}'],
  resizeVolume: ['PATCH', '/volumes/{id}'],
  cloneVolume: ['POST', '/volumes/{id}/clone'],
  snapshotVolume: ['POST', '/volumes/{id}/snapshot'],
  exportVolume: ['GET', '/volumes/{id}/archive'],
  attachVolume: ['POST', '/instances/{id}/volumes/{vid}'],
  detachVolume: ['DELETE', '/instances/{id}/volumes/{vid}'],

  createPool: ['POST', '/pools'],
  listPools: ['GET', '/pools'],
  getPool: ['GET', '/pools/{pool}'],
  deletePool: ['DELETE', '/pools/{pool}'],
  acquireInstance: ['POST', '/pools/{pool}/acquire'],
  releaseInstance: ['POST', '/pools/{pool}/release'],
  poolEvents: ['GET', '/pools/{pool}/events'],

  createToken: ['POST', '/tokens'],
  listTokens: ['GET', '/tokens'],
  revokeToken: ['DELETE', '/tokens/{id}'],

  statPath: ['GET', '/instances/{id}/stat'],
  readFile: ['GET', '/instances/{id}/files'],
  writeFile: ['PUT', '/instances/{id}/files'],
  getArchive: ['GET', '/instances/{id}/files/archive'],
  putArchive: ['PUT', '/instances/{id}/files/archive'],

  exec: ['WS', '/instances/{id}/exec'],
  attach: ['WS', '/instances/{id}/attach'],
  copy: ['WS', '/instances/{id}/cp'],
  console: ['WS', '/instances/{id}/console'],
  tunnel: ['WS', '/instances/{id}/tunnel'],
} as const satisfies Record<string, readonly ['GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'WS', string]>;

export type EndpointName = keyof typeof endpoints;

/** Routes that make something, and make it once where the request has an `Idempotency-Key`. */
export const idempotentRoutes: ReadonlySet<EndpointName> = new Set<EndpointName>([
  'createInstance',
  'forkInstance',
  'forkInstances',
  'createSnapshot',
  'forkSnapshot',
  'forkSnapshots',
  'createPool',
  'acquireInstance',
  'createImage',
  'importImage',
]);
