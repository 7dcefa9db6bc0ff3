import type { HostResources as Info, MemoryStatus, Reclaimed, ResourceStatus } from '@vivarium/model';
import type { HostResources, MemoryReclaimed } from '../schemas/resources.ts';
import { present } from './present.ts';

type WireStatus = HostResources['cpu'];
type WireAction = MemoryReclaimed['actions'][number];

export function resourcesToWire(info: Info): HostResources {
  const { memory } = info;
  return {
    cpu: statusToWire('cpu', info.cpu),
    memory: present({
      ...statusToWire('memory', memory),
      judged_by: memory.judgedBy,
      assigned_bytes: memory.assignedBytes,
      used_bytes: memory.usedBytes,
      promised_bytes: memory.promisedBytes,
    }) as HostResources['memory'],
    disk: statusToWire('disk', info.disk),
    network: statusToWire('network', info.network),
    disk_io: statusToWire('disk_io', info.diskIo),
    gpu: null,
    limit_keepers: info.limitKeepers,
    allocations: info.allocations.map((one) =>
      present({
        instance_id: one.instanceId,
        instance_name: one.instanceName,
        cpu: one.cpus,
        memory_bytes: one.memoryBytes,
        disk_bytes: one.diskBytes,
        disk_io_bps: one.diskBytesPerSecond,
        network_download_bps: one.networkDownload,
        network_upload_bps: one.networkUpload,
        used_bytes: one.usedBytes,
      }),
    ) as HostResources['allocations'],
  };
}

export function resourcesFromWire(wire: HostResources): Info {
  const { memory } = wire;
  return {
    cpu: statusFromWire(wire.cpu),
    memory: present({
      ...statusFromWire(memory),
      judgedBy: memory.judged_by as MemoryStatus['judgedBy'],
      assignedBytes: memory.assigned_bytes,
      usedBytes: memory.used_bytes,
      promisedBytes: memory.promised_bytes,
    }) as MemoryStatus,
    disk: statusFromWire(wire.disk),
    network: statusFromWire(wire.network),
    diskIo: statusFromWire(wire.disk_io),
    limitKeepers: wire.limit_keepers,
    allocations: wire.allocations.map((one) =>
      present({
        instanceId: one.instance_id,
        instanceName: one.instance_name,
        cpus: one.cpu,
        memoryBytes: one.memory_bytes,
        usedBytes: one.used_bytes,
        diskBytes: one.disk_bytes,
        diskBytesPerSecond: one.disk_io_bps,
        networkDownload: one.network_download_bps,
        networkUpload: one.network_upload_bps,
      }),
    ) as Info['allocations'],
  };
}

function statusToWire(type: string, status: ResourceStatus): WireStatus {
  return {
    type,
    capacity: status.capacity,
    effective_limit: status.effectiveLimit,
    allocated: status.allocated,
    available: status.available,
    oversub_ratio: status.oversubscription,
    source: status.source,
    limited: status.limited,
  };
}

function statusFromWire(wire: WireStatus): ResourceStatus {
  return {
    capacity: wire.capacity,
    effectiveLimit: wire.effective_limit,
    allocated: wire.allocated,
    available: wire.available,
    oversubscription: wire.oversub_ratio,
    limited: wire.limited,
    source: wire.source as ResourceStatus['source'],
  };
}

/** hypeman's words are about balloons; a suspended guest has no memory of the host left. */
export function reclaimedToWire(done: Reclaimed): MemoryReclaimed {
  return {
    requested_reclaim_bytes: done.requestedBytes,
    planned_reclaim_bytes: done.plannedBytes,
    applied_reclaim_bytes: done.appliedBytes,
    host_available_bytes: done.hostAvailableBytes,
    host_pressure_state: done.pressure,
    actions: done.actions.map(
      (action): WireAction =>
        present({
          instance_id: action.instanceId,
          instance_name: action.instanceName,
          hypervisor: action.driver,
          assigned_memory_bytes: action.assignedBytes,
          protected_floor_bytes: 0,
          previous_target_guest_memory_bytes: action.assignedBytes,
          planned_target_guest_memory_bytes: action.plannedBytes > 0 ? 0 : action.assignedBytes,
          target_guest_memory_bytes: action.status === 'suspended' ? 0 : action.assignedBytes,
          applied_reclaim_bytes: action.appliedBytes,
          status: action.status,
          error: action.error,
          planned_reclaim_bytes: action.plannedBytes,
          used_bytes: action.usedBytes,
        }) as WireAction,
    ),
  };
}

export function reclaimedFromWire(wire: MemoryReclaimed): Reclaimed {
  return {
    requestedBytes: wire.requested_reclaim_bytes,
    plannedBytes: wire.planned_reclaim_bytes,
    appliedBytes: wire.applied_reclaim_bytes,
    hostAvailableBytes: wire.host_available_bytes,
    pressure: wire.host_pressure_state as Reclaimed['pressure'],
    actions: wire.actions.map(
      (action) =>
        present({
          instanceId: action.instance_id,
          instanceName: action.instance_name,
          driver: action.hypervisor,
          assignedBytes: action.assigned_memory_bytes,
          usedBytes: action.used_bytes,
          plannedBytes: action.planned_reclaim_bytes,
          appliedBytes: action.applied_reclaim_bytes,
          status: action.status,
          error: action.error,
        }) as Reclaimed['actions'][number],
    ),
  };
}
