import { type InstanceInfo, VivError } from '@vivarium/model';
import type { Instance } from './instance.ts';

/** An instance as both doors show it. Asks nobody: a list of thousands costs no call. */
export function instanceInfo(instance: Instance, driver: string): InstanceInfo {
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
    ...(record.nic === undefined
      ? {}
      : {
          network: {
            ip: record.nic.backend.ip,
            mac: record.nic.mac,
            gateway: record.nic.backend.gateway,
            backend: record.nic.backend.kind,
          },
        }),
    stopTimeoutMs: spec.stopTimeoutMs,
    autoRemove: spec.autoRemove,
    generation: record.generation,
    createdAt: record.createdAt,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.stoppedAt === undefined ? {} : { stoppedAt: record.stoppedAt }),
    ...(record.exit === undefined ? {} : { exit: record.exit }),
    ...(operation === undefined ? {} : { operation: operation.info }),
    ...(record.pool === undefined ? {} : { pool: record.pool.name }),
    ...(record.pool?.acquiredAt === undefined ? {} : { acquiredAt: record.pool.acquiredAt }),
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
