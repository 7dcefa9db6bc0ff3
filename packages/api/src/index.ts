export { features, featuresWith } from './features.ts';
export { openApi } from './openapi.ts';
export { referencePage } from './reference/page.ts';
export { type AbsentRoute, absentRoutes } from './routes/absent.ts';
export { routes } from './routes/index.ts';
export { isBytes, type Route } from './routes/route.ts';
export { ForkInstance, ForkInstances, ForkSnapshot } from './schemas/copies.ts';
export {
  DirectoryEntry,
  FileChange,
  MakeDirectory,
  RenamePath,
  SetAttributes,
} from './schemas/directory.ts';
export { ErrorBody } from './schemas/error.ts';
export { PathInfo } from './schemas/file.ts';
export { Image } from './schemas/image.ts';
export {
  CreateInstance,
  Event,
  Instance,
  Stats,
  UpdateInstance,
  unsupportedCreateFields,
  WaitAnswer,
} from './schemas/instance.ts';
export { LimitsInput, LimitsStatus } from './schemas/limits.ts';
export { Operation } from './schemas/operation.ts';
export { CreatePool, Pool, PoolEvent, PoolInstance } from './schemas/pool.ts';
export { HostResources, MemoryReclaimed, ReclaimMemory } from './schemas/resources.ts';
export { SetSnapshotSchedule, SnapshotSchedule } from './schemas/schedule.ts';
export { Session, SessionPiece, StartSession } from './schemas/session.ts';
export { CreateSnapshot, RestoreSnapshot, Snapshot, SnapshotKind } from './schemas/snapshot.ts';
export { CopyStart, ExecControl, ExecNotice, ExecStart } from './schemas/socket.ts';
export { AutoStandby, AutoStandbyStatus } from './schemas/standby.ts';
export { Capabilities, Health } from './schemas/system.ts';
export { Freed, Template, WarmTemplates } from './schemas/template.ts';
export { CreateToken, NewToken, Token } from './schemas/token.ts';
export { AttachVolume, CopyVolume, CreateVolume, ResizeVolume, Volume } from './schemas/volume.ts';
export { allows, beyond, isGrant, type Scope, scopes } from './scopes.ts';
export { refuseUnknown, unknownFields } from './unknown-fields.ts';
export { check, readQuery } from './validate.ts';
export * from './wire/index.ts';
