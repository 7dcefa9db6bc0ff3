import Type, { type Static } from 'typebox';
import { Nullable, Size, SizeInput, StringMap, Terminal, Time } from './basic.ts';
import { ErrorBody } from './error.ts';
import { LimitsInput, LimitsStatus, RateInput } from './limits.ts';
import { serviceAnswer, serviceFields } from './service.ts';
import { AutoStandby, Wake } from './standby.ts';
import { VivState, WireState } from './state.ts';
import { VolumeMount, VolumeMountInput } from './volume.ts';

const Network = Type.Object({
  enabled: Type.Boolean(),
  name: Type.Optional(Type.String({ description: 'The network backend.' })),
  ip: Type.Optional(Nullable(Type.String())),
  mac: Type.Optional(Nullable(Type.String())),
  gateway: Type.Optional(Type.String()),
  bandwidth_download: Type.Optional(Type.String()),
  bandwidth_upload: Type.Optional(Type.String()),
});

const Port = Type.Object({
  guest_port: Type.Integer({ minimum: 1, maximum: 65535 }),
  host_port: Type.Integer({ minimum: 0, maximum: 65535 }),
  host_address: Type.String(),
  protocol: Type.Literal('tcp'),
});

const PortInput = Type.Object({
  guest_port: Type.Integer({ minimum: 1, maximum: 65535 }),
  host_port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535, description: '0: a free one.' })),
  host_address: Type.Optional(Type.String({ description: 'Default 127.0.0.1.' })),
  protocol: Type.Optional(Type.Literal('tcp')),
});

const Exit = Type.Object({
  reason: Type.Enum(['exited', 'stopped', 'killed', 'guest_off', 'panicked', 'vmm_exited']),
  code: Type.Optional(Type.Integer()),
  message: Type.String(),
  at: Time,
  vmm: Type.Optional(
    Type.Object({ code: Type.Optional(Type.Integer()), signal: Type.Optional(Type.String()) }),
  ),
});

const OperationSchema = Type.Object({
  id: Type.String(),
  action: Type.String(),
  step: Type.Optional(Type.String()),
  started_at: Time,
});

const Vmm = Type.Object({
  name: Type.String(),
  version: Type.String(),
  pid: Type.Integer(),
  accelerator: Type.String(),
  machine: Type.String(),
});

/** hypeman's instance; the fields from `viv_state` on are ours. */
export const Instance = Type.Object(
  {
    id: Type.String({ description: 'CUID2.' }),
    name: Type.String(),
    image: Type.String({ description: 'Normalised reference.' }),
    state: WireState,
    state_error: Nullable(Type.String()),
    vcpus: Type.Integer(),
    size: Size,
    hotplug_size: Size,
    overlay_size: Size,
    env: StringMap,
    tags: StringMap,
    network: Network,
    has_snapshot: Type.Boolean({ description: 'Its memory is saved: a start goes on from there.' }),
    hypervisor: Type.String(),
    platform: Type.Optional(Type.String()),
    created_at: Time,
    started_at: Nullable(Time),
    stopped_at: Nullable(Time),
    expires_at: Nullable(Time),
    exit_code: Nullable(Type.Integer()),
    exit_message: Type.Optional(Type.String()),
    auto_standby: Type.Optional(AutoStandby),
    disk_io_bps: Type.Optional(Type.String()),

    viv_state: VivState,
    changed: Type.Optional(Type.Boolean({ description: 'After an action: whether it changed anything.' })),
    error: Type.Optional(ErrorBody),
    image_digest: Type.String(),
    memory_bytes: Type.Integer(),
    disk_bytes: Type.Integer(),
    command: Type.Array(Type.String()),
    user: Type.String(),
    cwd: Type.String(),
    hostname: Type.String(),
    ports: Type.Array(Port),
    stop_timeout_ms: Type.Integer(),
    auto_remove: Type.Boolean(),
    generation: Type.Integer(),
    exit: Type.Optional(Exit),
    operation: Type.Optional(OperationSchema),
    suspended_at: Type.Optional(Time),
    forked_from: Type.Optional(
      Type.Object({ instance_id: Type.String(), snapshot_id: Type.Optional(Type.String()) }),
    ),
    volumes: Type.Optional(Type.Array(VolumeMount, { description: 'Absent where it has none.' })),
    snapshot_id: Type.Optional(
      Type.String({ description: 'The snapshot of it that was taken or restored last.' }),
    ),
    pool: Type.Optional(Type.String({ description: 'The pool that made it.' })),
    wake: Type.Optional(Wake),
    limits: Type.Optional(LimitsStatus.properties.asked),
    ...serviceAnswer,
    acquired_at: Type.Optional(Type.String({ description: 'When the pool handed it out.' })),
    driver: Type.String(),
    vmm: Type.Optional(Vmm),
  },
  { $id: 'Instance' },
);
export type Instance = Static<typeof Instance>;

export const later = (what: string) =>
  Type.Optional(Type.Unknown({ description: `${what}: answered with not_supported.` }));

/** Fields of hypeman that would change what the instance does, and that nothing here can honour yet. */
export const unsupportedCreateFields = {
  devices: later('Device passthrough'),
  gpu: later('A GPU'),
  snapshot_policy: later('A snapshot policy'),
  credentials: later('Injected credentials'),
  skip_guest_agent: later('A guest without agent'),
  platform: later('A platform other than the host’s'),
  hypervisor: later('Another hypervisor than the host’s'),
};

export const CreateInstance = Type.Object(
  {
    name: Type.Optional(Type.String({ description: 'Default: two words and a number.' })),
    image: Type.String({ minLength: 1 }),
    vcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 255, description: 'Default 1.' })),
    size: Type.Optional(SizeInput),
    overlay_size: Type.Optional(SizeInput),
    env: Type.Optional(StringMap),
    cmd: Type.Optional(Type.Array(Type.String())),
    entrypoint: Type.Optional(Type.Array(Type.String())),
    tags: Type.Optional(StringMap),
    network: Type.Optional(
      Type.Object({
        enabled: Type.Optional(Type.Boolean({ description: 'Default true.' })),
        bandwidth_download: Type.Optional(RateInput),
        bandwidth_upload: Type.Optional(RateInput),
        egress: later('An egress policy'),
      }),
    ),
    volumes: Type.Optional(Type.Array(VolumeMountInput, { description: 'At most 23.' })),
    ...unsupportedCreateFields,
    auto_standby: Type.Optional(AutoStandby),
    disk_io_bps: Type.Optional(RateInput),
    skip_kernel_headers: Type.Optional(
      Type.Boolean({ description: 'No headers are ever put into a guest.' }),
    ),
    ...serviceFields,

    start: Type.Optional(Type.Boolean({ description: 'False: only make it. Default true.' })),
    memory_bytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Wins over size.' })),
    disk_bytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Wins over overlay_size.' })),
    user: Type.Optional(Type.String()),
    cwd: Type.Optional(Type.String()),
    hostname: Type.Optional(Type.String()),
    ports: Type.Optional(Type.Array(PortInput)),
    tty: Type.Optional(Terminal),
    stdin: Type.Optional(Type.Enum(['open', 'null'])),
    attach: Type.Optional(Type.Boolean()),
    pull: Type.Optional(Type.Enum(['missing', 'always', 'never'])),
    stop_timeout_ms: Type.Optional(Type.Integer({ minimum: 0 })),
    auto_remove: Type.Optional(Type.Boolean()),
    wake: Type.Optional(Wake),
    limits: Type.Optional(LimitsInput),
  },
  { $id: 'CreateInstance' },
);
export type CreateInstance = Static<typeof CreateInstance>;

export const UpdateInstance = Type.Object(
  {
    name: Type.Optional(Type.String()),
    overlay_size: Type.Optional(SizeInput),
    disk_bytes: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Wins over overlay_size. Only growing.' }),
    ),
    ...serviceFields,
    autostart: Type.Optional(
      Type.Union([serviceFields.autostart, Type.Null()], { description: 'Null: not any more.' }),
    ),
    env: Type.Optional(
      Type.Record(Type.String(), Nullable(Type.String()), {
        description: 'Merged with what is there; null removes. In effect from the next start on.',
      }),
    ),
    tags: Type.Optional(
      Type.Record(Type.String(), Nullable(Type.String()), {
        description: 'Merged with what is there; null removes.',
      }),
    ),
    auto_standby: Type.Optional(Nullable(AutoStandby)),
    wake: Type.Optional(Wake),
    disk_io_bps: Type.Optional(RateInput),
    network: Type.Optional(
      Type.Object({
        bandwidth_download: Type.Optional(RateInput),
        bandwidth_upload: Type.Optional(RateInput),
      }),
    ),
    limits: Type.Optional(LimitsInput),
  },
  { $id: 'UpdateInstance' },
);
export type UpdateInstance = Static<typeof UpdateInstance>;

export const StartInstance = Type.Object({
  cmd: Type.Optional(Type.Array(Type.String(), { description: 'From now on. Only where the guest boots.' })),
  entrypoint: Type.Optional(
    Type.Array(Type.String(), { description: 'From now on; drops the old cmd. Only where the guest boots.' }),
  ),
  cold: Type.Optional(
    Type.Boolean({
      description: 'Boot it, from no template, and give saved memory up once it is up. Default false.',
    }),
  ),
});

export const StandbyInstance = Type.Object({
  compression: later('Compression of saved memory'),
  compression_delay: later('Compression of saved memory'),
});

export const StopInstance = Type.Object({
  timeout_ms: Type.Optional(Type.Integer({ minimum: 0, description: 'Default: the instance’s.' })),
  force: Type.Optional(Type.Boolean({ description: 'Without asking the guest. Default false.' })),
});

export const WaitAnswer = Type.Object(
  {
    state: WireState,
    timed_out: Type.Boolean(),
    state_error: Nullable(Type.String()),
    instance: Type.Optional(Instance),
  },
  { $id: 'WaitAnswer' },
);
export type WaitAnswer = Static<typeof WaitAnswer>;

/** hypeman's statistics; from `at` on ours, as seen from inside the guest. */
export const Stats = Type.Object(
  {
    instance_id: Type.String(),
    instance_name: Type.String(),
    allocated_vcpus: Type.Integer(),
    allocated_memory_bytes: Type.Integer(),
    cpu_seconds: Type.Number(),
    memory_rss_bytes: Type.Integer(),
    memory_vms_bytes: Type.Integer(),
    memory_utilization_ratio: Nullable(Type.Number()),
    network_rx_bytes: Type.Integer(),
    network_tx_bytes: Type.Integer(),
    at: Time,
    guest_cpu_nanos: Type.Integer(),
    guest_memory: Type.Object({
      total_bytes: Type.Integer(),
      used_bytes: Type.Integer(),
      available_bytes: Type.Integer(),
    }),
    guest_disk: Type.Object({
      total_bytes: Type.Integer(),
      used_bytes: Type.Integer(),
      read_bytes: Type.Integer(),
      written_bytes: Type.Integer(),
    }),
    processes: Type.Integer(),
    vmm: Type.Optional(Type.Object({ resident_bytes: Type.Integer(), cpu_nanos: Type.Integer() })),
  },
  { $id: 'Stats' },
);
export type Stats = Static<typeof Stats>;

export const LogEntry = Type.Object({
  at: Type.Optional(Time),
  stream: Type.Enum(['stdout', 'stderr', 'console', 'vmm', 'vivarium']),
  text: Type.String(),
});

export const Event = Type.Object(
  {
    seq: Type.Integer(),
    at: Time,
    resource: Type.Object({
      kind: Type.String({
        description:
          'instance, image, volume, snapshot, template, pool, operation, daemon, log; more may come.',
      }),
      id: Type.String(),
      name: Type.String(),
    }),
    instance_id: Type.String({ description: 'Empty where it is about something else; so is the name.' }),
    instance_name: Type.String(),
    type: Type.String({
      description: 'A gap is stored nowhere: it stands for events that are not held any more, named in data.',
    }),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'Event' },
);
export type Event = Static<typeof Event>;
