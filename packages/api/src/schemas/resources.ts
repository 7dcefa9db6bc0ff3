import Type, { type Static } from 'typebox';

const ResourceStatus = Type.Object({
  type: Type.String(),
  capacity: Type.Number(),
  effective_limit: Type.Number({
    description: 'capacity times oversub_ratio, less what is kept for the host.',
  }),
  allocated: Type.Number(),
  available: Type.Number(),
  oversub_ratio: Type.Number(),
  source: Type.Enum(['detected', 'configured']),
  limited: Type.Boolean({ description: 'Whether an instance is refused that does not fit.' }),
});

const MemoryStatus = Type.Object({
  ...ResourceStatus.properties,
  judged_by: Type.Enum(['use', 'size']),
  assigned_bytes: Type.Integer(),
  used_bytes: Type.Optional(Type.Integer({ description: 'Proportional set size of all VMMs.' })),
  promised_bytes: Type.Integer({
    description: 'What instances are expected to use beyond what they use now.',
  }),
});

const Allocation = Type.Object({
  instance_id: Type.String(),
  instance_name: Type.String(),
  cpu: Type.Number(),
  memory_bytes: Type.Integer(),
  disk_bytes: Type.Integer(),
  disk_io_bps: Type.Integer({ description: 'Bytes a second; 0: no limit.' }),
  network_download_bps: Type.Integer({ description: 'Bytes a second; 0: no limit.' }),
  network_upload_bps: Type.Integer({ description: 'Bytes a second; 0: no limit.' }),
  used_bytes: Type.Optional(Type.Integer({ description: 'Proportional set size of its VMM.' })),
});

const LimitKeeper = Type.Object(
  {
    controller: Type.Enum(['cpu', 'memory']),
    by: Type.Enum(['cgroup-v1', 'cgroup-v2', 'none']),
    why: Type.Optional(Type.String({ description: 'Why nobody.' })),
  },
  { description: 'Who keeps limits of CPU, or of memory, that instances are given.' },
);

/** hypeman's; `limited`, `limit_keepers` and what is about use are ours. */
export const HostResources = Type.Object(
  {
    cpu: ResourceStatus,
    memory: MemoryStatus,
    disk: ResourceStatus,
    network: ResourceStatus,
    disk_io: ResourceStatus,
    gpu: Type.Null(),
    limit_keepers: Type.Array(LimitKeeper),
    allocations: Type.Array(Allocation),
  },
  { $id: 'HostResources' },
);
export type HostResources = Static<typeof HostResources>;

export const ReclaimMemory = Type.Object(
  {
    reclaim_bytes: Type.Integer({ minimum: 1 }),
    dry_run: Type.Optional(Type.Boolean({ description: 'Only say what would be done. Default false.' })),
    hold_for: Type.Optional(
      Type.String({
        description: 'There is no balloon to be held: anything but 0s is answered with not_supported.',
      }),
    ),
    reason: Type.Optional(Type.String({ maxLength: 1000 })),
  },
  { $id: 'ReclaimMemory' },
);
export type ReclaimMemory = Static<typeof ReclaimMemory>;

export const MemoryReclaimed = Type.Object(
  {
    requested_reclaim_bytes: Type.Integer(),
    planned_reclaim_bytes: Type.Integer(),
    applied_reclaim_bytes: Type.Integer(),
    host_available_bytes: Type.Integer(),
    host_pressure_state: Type.Enum(['healthy', 'pressure']),
    actions: Type.Array(
      Type.Object({
        instance_id: Type.String(),
        instance_name: Type.String(),
        hypervisor: Type.String(),
        assigned_memory_bytes: Type.Integer(),
        protected_floor_bytes: Type.Integer(),
        previous_target_guest_memory_bytes: Type.Integer(),
        planned_target_guest_memory_bytes: Type.Integer(),
        target_guest_memory_bytes: Type.Integer(),
        applied_reclaim_bytes: Type.Integer(),
        status: Type.Enum(['planned', 'suspended', 'error', 'unsupported']),
        error: Type.Optional(Type.String()),
        planned_reclaim_bytes: Type.Integer(),
        used_bytes: Type.Integer(),
      }),
    ),
  },
  { $id: 'MemoryReclaimed' },
);
export type MemoryReclaimed = Static<typeof MemoryReclaimed>;
