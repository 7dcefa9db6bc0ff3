import type { FileStat, InstanceEvent, InstanceInfo, InstanceStats } from '@vivarium/model';
import type { PathInfo } from '../schemas/file.ts';
import type { Event, Stats } from '../schemas/instance.ts';

export function statToWire(stat: FileStat): PathInfo {
  return {
    exists: true,
    is_dir: stat.kind === 'directory',
    is_file: stat.kind === 'file',
    is_symlink: stat.kind === 'symlink',
    link_target: stat.linkTarget ?? null,
    mode: stat.mode,
    size: stat.sizeBytes,
    path: stat.path,
    kind: stat.kind,
    uid: stat.uid,
    gid: stat.gid,
    modified_at: stat.modifiedAt,
  };
}

export function statFromWire(wire: PathInfo): FileStat {
  return {
    path: wire.path ?? '',
    kind: (wire.kind ?? 'other') as FileStat['kind'],
    sizeBytes: wire.size ?? 0,
    mode: wire.mode ?? 0,
    uid: wire.uid ?? 0,
    gid: wire.gid ?? 0,
    modifiedAt: wire.modified_at ?? '',
    ...(wire.link_target == null ? {} : { linkTarget: wire.link_target }),
  };
}

/** hypeman's figures are the VMM's on the host; where those are unknown the guest's stand in. */
export function statsToWire(info: InstanceInfo, stats: InstanceStats): Stats {
  const rss = stats.vmm?.residentBytes ?? stats.memory.usedBytes;
  return {
    instance_id: info.id,
    instance_name: info.name,
    allocated_vcpus: info.cpus,
    allocated_memory_bytes: info.memoryBytes,
    cpu_seconds: (stats.vmm?.cpuNanos ?? stats.cpuNanos) / 1e9,
    memory_rss_bytes: rss,
    memory_vms_bytes: info.memoryBytes,
    memory_utilization_ratio: info.memoryBytes === 0 ? null : rss / info.memoryBytes,
    network_rx_bytes: stats.network.receivedBytes,
    network_tx_bytes: stats.network.sentBytes,
    at: stats.at,
    guest_cpu_nanos: stats.cpuNanos,
    guest_memory: {
      total_bytes: stats.memory.totalBytes,
      used_bytes: stats.memory.usedBytes,
      available_bytes: stats.memory.availableBytes,
    },
    guest_disk: {
      total_bytes: stats.disk.totalBytes,
      used_bytes: stats.disk.usedBytes,
      read_bytes: stats.disk.readBytes,
      written_bytes: stats.disk.writtenBytes,
    },
    processes: stats.processes,
    ...(stats.vmm === undefined
      ? {}
      : { vmm: { resident_bytes: stats.vmm.residentBytes, cpu_nanos: stats.vmm.cpuNanos } }),
  };
}

export function statsFromWire(wire: Stats): InstanceStats {
  return {
    at: wire.at,
    cpuNanos: wire.guest_cpu_nanos,
    memory: {
      totalBytes: wire.guest_memory.total_bytes,
      usedBytes: wire.guest_memory.used_bytes,
      availableBytes: wire.guest_memory.available_bytes,
    },
    disk: {
      totalBytes: wire.guest_disk.total_bytes,
      usedBytes: wire.guest_disk.used_bytes,
      readBytes: wire.guest_disk.read_bytes,
      writtenBytes: wire.guest_disk.written_bytes,
    },
    network: { receivedBytes: wire.network_rx_bytes, sentBytes: wire.network_tx_bytes },
    processes: wire.processes,
    ...(wire.vmm === undefined
      ? {}
      : { vmm: { residentBytes: wire.vmm.resident_bytes, cpuNanos: wire.vmm.cpu_nanos } }),
  };
}

export function eventToWire(event: InstanceEvent): Event {
  return {
    seq: event.seq,
    at: event.at,
    resource: event.resource,
    instance_id: event.instanceId,
    instance_name: event.instanceName,
    type: event.type,
    data: event.data,
  };
}

export function eventFromWire(wire: Event): InstanceEvent {
  return {
    seq: wire.seq,
    at: wire.at,
    // A daemon from before there were other resources.
    resource: wire.resource ?? { kind: 'instance', id: wire.instance_id, name: wire.instance_name },
    instanceId: wire.instance_id,
    instanceName: wire.instance_name,
    type: wire.type,
    data: wire.data,
  };
}
