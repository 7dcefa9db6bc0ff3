import { type InstanceInfo, VivError } from '@vivarium/model';
import { serviceInfo } from '../service/view.ts';
import type { InstanceRecord } from '../store/record.ts';
import type { Instance } from './instance.ts';

/** All that is shown of an instance. Each is replaced when it changes, never written to; only an operation goes on. */
type Sources = Pick<Instance, 'record' | 'state' | 'machine' | 'stateError' | 'operation' | 'health'>;

/** An instance as both doors show it. Asks nobody: a list of thousands costs no call. */
export function instanceInfo(instance: Sources, driver: string): InstanceInfo {
  const { record, state, machine, operation, stateError } = instance;
  const { spec } = record;
  return {
    id: record.id,
    name: record.name,
    state,
    ...(stateError === undefined
      ? {}
      : { stateError: stateError instanceof VivError ? stateError.toJSON() : stateError }),
    image: spec.image,
    cpus: spec.cpus,
    memoryBytes: spec.memoryBytes,
    diskBytes: spec.diskBytes,
    env: spec.env,
    command: spec.command,
    user: spec.user,
    cwd: spec.cwd,
    hostname: spec.hostname,
    tags: spec.tags,
    ports: record.ports.length > 0 ? record.ports : spec.ports,
    ...(spec.network === 'none' ? {} : { network: networkOf(record.nic) }),
    stopTimeoutMs: spec.stopTimeoutMs,
    autoRemove: spec.autoRemove,
    generation: record.generation,
    createdAt: record.createdAt,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.stoppedAt === undefined ? {} : { stoppedAt: record.stoppedAt }),
    ...(record.exit === undefined ? {} : { exit: record.exit }),
    ...(operation === undefined ? {} : { operation: operation.info }),
    ...(record.suspended === undefined || machine !== undefined ? {} : { suspendedAt: record.suspended.at }),
    ...(spec.autoStandby === undefined ? {} : { autoStandby: spec.autoStandby }),
    ...(spec.limits === undefined ? {} : { limits: spec.limits }),
    ...(spec.wake === undefined ? {} : { wake: spec.wake }),
    ...(record.volumes === undefined
      ? {}
      : { volumes: record.volumes.map(({ volumeId, path, mode }) => ({ volumeId, path, mode })) }),
    ...(record.forkedFrom === undefined ? {} : { forkedFrom: record.forkedFrom }),
    ...(record.snapshotId === undefined ? {} : { snapshotId: record.snapshotId }),
    ...(record.pool === undefined ? {} : { pool: record.pool.name }),
    ...(record.pool?.acquiredAt === undefined ? {} : { acquiredAt: record.pool.acquiredAt }),
    ...serviceInfo(instance),
    driver: driver,
    ...(machine === undefined
      ? {}
      : {
          vmm: {
            name: machine.record.vmmName,
            version: machine.record.vmmVersion,
            pid: machine.record.vmm.pid,
            accelerator: machine.record.accelerator,
            machine: machine.record.machine,
          },
        }),
  };
}

/** One that was never started has a network, and no address in it yet. */
function networkOf(nic: InstanceRecord['nic']): InstanceInfo['network'] {
  if (nic === undefined) return { backend: 'user' };
  const { ip, gateway, kind } = nic.backend;
  return { backend: kind, ip, mac: nic.mac, gateway };
}

/** What was made of an instance last, and of what. */
interface Shown extends Omit<Sources, 'operation'> {
  info: Readonly<InstanceInfo>;
}

const shown = new WeakMap<Instance, Shown>();

/** As {@link instanceInfo}, but the same object as long as nothing about the instance has changed. Frozen. */
export function sharedInfo(instance: Instance, driver: string): Readonly<InstanceInfo> {
  const { record, state, machine, stateError, health } = instance;
  // What is being done changes step by step, and is over soon.
  if (instance.operation !== undefined) return instanceInfo(instance, driver);
  const last = shown.get(instance);
  if (
    last?.record === record &&
    last.state === state &&
    last.machine === machine &&
    last.stateError === stateError &&
    last.health === health
  ) {
    return last.info;
  }
  const info = Object.freeze(instanceInfo(instance, driver));
  shown.set(instance, { record, state, machine, stateError, health, info });
  return info;
}
