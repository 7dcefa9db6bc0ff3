import {
  type AttachVolume,
  type CopyVolume,
  type CreateVolume,
  copyVolumeFromWire,
  createVolumeFromWire,
  instanceToWire,
  mountFromWire,
  type ResizeVolume,
  volumeSizeFromWire,
  volumeToWire,
} from '@vivarium/api';
import type { MakingOptions } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { readBytes } from '../incoming.ts';
import { longCall, streamBytes } from '../stream.ts';
import { find } from './find.ts';

const named = (call: Call): string => call.params.id ?? '';
const attached = (call: Call): string => call.params.vid ?? '';

export const createVolume: Handler = async (call) =>
  volumeToWire(
    await call.engine.volumes.create({
      ...createVolumeFromWire(call.body as CreateVolume),
      ...(call.idempotencyKey === undefined ? {} : { idempotencyKey: call.idempotencyKey }),
    }),
  );

export const listVolumes: Handler = async (call) => {
  const { tags = {} } = call.query as { tags?: Record<string, string> };
  return (await call.engine.volumes.list({ tags })).map(volumeToWire);
};

export const importVolume: Handler = async (call) => {
  const options = createVolumeFromWire(call.query as CreateVolume);
  const { promise: uploaded, resolve } = Promise.withResolvers<void>();
  const archive = async function* () {
    // One whose client has gone sends no more: it ends by itself.
    yield* readBytes(call.incoming, call.house.patience.bodyMs);
    resolve();
  };
  const work = (inner: MakingOptions) => call.engine.volumes.import(archive(), { ...options, ...inner });
  return longCall(call, work, volumeToWire, uploaded);
};

export const getVolume: Handler = async (call) => volumeToWire(await call.engine.volumes.get(named(call)));

export const deleteVolume: Handler = async (call) => call.engine.volumes.remove(named(call));

export const resizeVolume: Handler = async (call) => {
  const bytes = volumeSizeFromWire(call.body as ResizeVolume);
  return volumeToWire(await call.engine.volumes.resize(named(call), bytes));
};

export const cloneVolume: Handler = async (call) => {
  const options = copyVolumeFromWire(call.body as CopyVolume);
  return longCall(
    call,
    (inner) => call.engine.volumes.clone(named(call), { ...options, ...inner }),
    volumeToWire,
  );
};

export const snapshotVolume: Handler = async (call) => {
  const options = copyVolumeFromWire(call.body as CopyVolume);
  return longCall(
    call,
    (inner) => call.engine.volumes.snapshot(named(call), { ...options, ...inner }),
    volumeToWire,
  );
};

export const exportVolume: Handler = async (call) =>
  streamBytes(call, 'application/gzip', call.engine.volumes.export(named(call), { signal: call.signal }));

export const attachVolume: Handler = async (call) => {
  const mount = mountFromWire({ ...(call.body as AttachVolume), volume_id: attached(call) });
  return instanceToWire(await (await find(call)).volumes.attach(mount));
};

export const detachVolume: Handler = async (call) => {
  const { force = false } = call.query as { force?: boolean };
  return instanceToWire(await (await find(call)).volumes.detach(attached(call), { force }));
};
