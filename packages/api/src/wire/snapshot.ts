import { formatSize, type SnapshotInfo } from '@vivarium/model';
import type { Snapshot } from '../schemas/snapshot.ts';
import { copyStateFromWire, copyStateToWire } from './copies.ts';
import { present } from './present.ts';

export function snapshotToWire(info: SnapshotInfo, hypervisor: string): Snapshot {
  return present<Snapshot>({
    id: info.id,
    name: info.name,
    kind: info.hasMemory ? 'Standby' : 'Stopped',
    source_instance_id: info.instanceId,
    source_instance_name: info.instanceName,
    source_hypervisor: hypervisor,
    size_bytes: info.sizeBytes,
    compression_state: 'none',
    compressed_size_bytes: null,
    uncompressed_size_bytes: info.sizeBytes,
    tags: info.tags ?? {},
    created_at: info.createdAt,
    source_state: copyStateToWire(info.state),
    image: info.image.reference,
    image_digest: info.image.digest,
    vcpus: info.cpus,
    size: formatSize(info.memoryBytes),
    memory_bytes: info.memoryBytes,
    disk_bytes: info.diskBytes,
    parent_id: info.parentId,
    expires_at: info.expiresAt,
  });
}

export function snapshotFromWire(wire: Snapshot): SnapshotInfo {
  return present<SnapshotInfo>({
    id: wire.id,
    name: wire.name,
    instanceId: wire.source_instance_id,
    instanceName: wire.source_instance_name,
    state: copyStateFromWire(wire.source_state),
    hasMemory: wire.kind === 'Standby',
    image: { reference: wire.image, digest: wire.image_digest },
    cpus: wire.vcpus,
    memoryBytes: wire.memory_bytes,
    diskBytes: wire.disk_bytes,
    sizeBytes: wire.size_bytes,
    parentId: wire.parent_id,
    tags: Object.keys(wire.tags).length === 0 ? undefined : wire.tags,
    createdAt: wire.created_at,
    expiresAt: wire.expires_at,
  });
}
