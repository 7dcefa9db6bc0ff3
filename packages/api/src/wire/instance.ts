import {
  type ActionResult,
  type CreateOptions,
  formatSize,
  type InstanceInfo,
  type UpdateOptions,
  VivError,
} from '@vivarium/model';
import type { CreateInstance, Instance, UpdateInstance } from '../schemas/instance.ts';
import { camelKeys, snakeKeys } from './keys.ts';
import { askedFromWire, askedToWire, limitsFromWire, limitsToWire, rateToWire } from './limits.ts';
import { hostPlatform } from './platform.ts';
import { present } from './present.ts';
import { serviceFromWire, serviceInfoFromWire, serviceInfoToWire, serviceToWire } from './service.ts';
import { policyFromWire, policyToWire } from './standby.ts';
import { stateToWire } from './state.ts';
import { attachedFromWire, attachedToWire, mountFromWire, mountToWire } from './volume.ts';

/** An instance in hypeman's shape, with ours added. */
export function instanceToWire(info: InstanceInfo, changed?: boolean): Instance {
  return {
    id: info.id,
    name: info.name,
    image: info.image.reference,
    state: stateToWire(info.state),
    state_error: info.stateError?.message ?? null,
    vcpus: info.cpus,
    size: formatSize(info.memoryBytes),
    hotplug_size: '0B',
    overlay_size: formatSize(info.diskBytes),
    env: info.env,
    tags: info.tags,
    network: networkToWire(info.network, info.limits),
    has_snapshot: info.suspendedAt !== undefined || info.state === 'Suspended',
    hypervisor: info.driver,
    platform: hostPlatform,
    created_at: info.createdAt,
    started_at: info.startedAt ?? null,
    stopped_at: info.stoppedAt ?? null,
    expires_at: info.expiresAt ?? null,
    exit_code: info.exit?.code ?? null,
    viv_state: info.state,
    image_digest: info.image.digest,
    memory_bytes: info.memoryBytes,
    disk_bytes: info.diskBytes,
    command: info.command,
    user: info.user,
    cwd: info.cwd,
    hostname: info.hostname,
    ports: info.ports.map((port) => ({
      guest_port: port.guestPort,
      host_port: port.hostPort,
      host_address: port.hostAddress,
      protocol: 'tcp',
    })),
    stop_timeout_ms: info.stopTimeoutMs,
    auto_remove: info.autoRemove,
    generation: info.generation,
    driver: info.driver,
    // Only these may be absent. To look through all fields made most of the time and of the garbage of a page.
    ...present({
      exit_message: info.exit?.message,
      changed,
      error: info.stateError && { ...info.stateError },
      exit: info.exit && present(info.exit),
      operation: info.operation && (snakeKeys(present(info.operation)) as Instance['operation']),
      suspended_at: info.suspendedAt,
      forked_from: info.forkedFrom && (snakeKeys(present(info.forkedFrom)) as Instance['forked_from']),
      volumes: info.volumes && attachedToWire(info.volumes),
      snapshot_id: info.snapshotId,
      pool: info.pool,
      auto_standby: info.autoStandby && policyToWire(info.autoStandby),
      wake: info.wake,
      limits: info.limits && askedToWire(info.limits),
      disk_io_bps: rateToWire(info.limits?.diskBytesPerSecond),
      acquired_at: info.acquiredAt,
      vmm: info.vmm,
    }),
    ...serviceInfoToWire(info),
  };
}

export function instanceFromWire(wire: Instance): InstanceInfo {
  const { ip, mac, gateway, name: backend = '' } = wire.network;
  return present<InstanceInfo>({
    id: wire.id,
    name: wire.name,
    state: wire.viv_state,
    stateError: wire.error && (VivError.fromRecord(wire.error).toJSON() as InstanceInfo['stateError']),
    image: { reference: wire.image, digest: wire.image_digest },
    cpus: wire.vcpus,
    memoryBytes: wire.memory_bytes,
    diskBytes: wire.disk_bytes,
    env: wire.env,
    command: wire.command,
    user: wire.user,
    cwd: wire.cwd,
    hostname: wire.hostname,
    tags: wire.tags,
    ports: wire.ports.map((port) => ({
      hostAddress: port.host_address,
      hostPort: port.host_port,
      guestPort: port.guest_port,
    })),
    network: wire.network.enabled
      ? present({ backend, ip: ip ?? undefined, mac: mac ?? undefined, gateway })
      : undefined,
    stopTimeoutMs: wire.stop_timeout_ms,
    autoRemove: wire.auto_remove,
    generation: wire.generation,
    createdAt: wire.created_at,
    startedAt: wire.started_at ?? undefined,
    stoppedAt: wire.stopped_at ?? undefined,
    exit: wire.exit,
    operation: wire.operation && (camelKeys(wire.operation) as InstanceInfo['operation']),
    suspendedAt: wire.suspended_at,
    forkedFrom: wire.forked_from && (camelKeys(wire.forked_from) as InstanceInfo['forkedFrom']),
    volumes: wire.volumes && attachedFromWire(wire.volumes),
    snapshotId: wire.snapshot_id,
    pool: wire.pool,
    autoStandby: wire.auto_standby && policyFromWire(wire.auto_standby),
    wake: wire.wake as InstanceInfo['wake'],
    limits: wire.limits && askedFromWire(wire.limits),
    expiresAt: wire.expires_at ?? undefined,
    ...serviceInfoFromWire(wire),
    acquiredAt: wire.acquired_at,
    driver: wire.driver,
    vmm: wire.vmm,
  });
}

export function actionFromWire(wire: Instance): ActionResult {
  return { changed: wire.changed ?? true, state: wire.viv_state };
}

function networkToWire(
  network: InstanceInfo['network'],
  limits: InstanceInfo['limits'],
): Instance['network'] {
  if (network === undefined) return { enabled: false, ip: null, mac: null };
  return {
    enabled: true,
    name: network.backend,
    ip: network.ip ?? null,
    mac: network.mac ?? null,
    ...present({ gateway: network.gateway }),
    ...(limits === undefined
      ? {}
      : present({
          bandwidth_download: rateToWire(limits.networkDownload),
          bandwidth_upload: rateToWire(limits.networkUpload),
        })),
  };
}

/** The body of a create, by our own SDK: exact where hypeman's own fields would round. */
export function createToWire(options: CreateOptions, start: boolean): CreateInstance {
  const more = options.limits === undefined ? {} : limitsToWire(options.limits);
  return present<CreateInstance>({
    name: options.name,
    image: options.image,
    vcpus: options.cpus,
    size: options.memory,
    overlay_size: options.disk,
    env: options.env,
    cmd: options.cmd,
    entrypoint: options.entrypoint,
    tags: options.tags,
    ...more,
    network:
      options.network === undefined && more.network === undefined
        ? undefined
        : present({ enabled: options.network && options.network !== 'none', ...more.network }),
    start,
    user: options.user,
    cwd: options.cwd,
    hostname: options.hostname,
    ports: options.ports?.map((port) =>
      present({ guest_port: port.guestPort, host_port: port.hostPort, host_address: port.hostAddress }),
    ),
    volumes: options.volumes?.map(mountToWire),
    tty: options.tty,
    stdin: options.stdin,
    attach: options.attach,
    pull: options.pull,
    stop_timeout_ms: options.stopTimeoutMs,
    auto_remove: options.autoRemove,
    auto_standby: options.autoStandby && policyToWire(options.autoStandby),
    wake: options.wake,
    ...serviceToWire(options),
  });
}

export function createFromWire(body: CreateInstance): CreateOptions {
  return present<CreateOptions>({
    name: body.name,
    image: body.image,
    cpus: body.vcpus,
    memory: body.memory_bytes ?? body.size,
    disk: body.disk_bytes ?? body.overlay_size,
    env: body.env,
    cmd: body.cmd,
    entrypoint: body.entrypoint,
    user: body.user,
    cwd: body.cwd,
    hostname: body.hostname,
    tags: body.tags,
    ports: body.ports?.map((port) =>
      present({ guestPort: port.guest_port, hostPort: port.host_port, hostAddress: port.host_address }),
    ),
    network: body.network?.enabled === undefined ? undefined : body.network.enabled ? 'user' : 'none',
    volumes: body.volumes?.map(mountFromWire),
    tty: body.tty,
    stdin: body.stdin as CreateOptions['stdin'],
    attach: body.attach,
    pull: body.pull as CreateOptions['pull'],
    stopTimeoutMs: body.stop_timeout_ms,
    autoRemove: body.auto_remove,
    autoStandby: body.auto_standby && policyFromWire(body.auto_standby),
    wake: body.wake as CreateOptions['wake'],
    limits: limitsFromWire(body),
    ...serviceFromWire(body),
  });
}

/** The body of a change, by our own SDK. */
export function updateToWire(options: UpdateOptions): UpdateInstance {
  const { env, tags, autostart, autoStandby, wake, limits, disk, name, ...service } = options;
  return {
    ...serviceToWire({ ...service, autostart: autostart ?? undefined }),
    ...(limits === undefined ? {} : limitsToWire(limits)),
    ...present({
      env,
      tags,
      wake,
      name,
      overlay_size: disk,
      auto_standby: autoStandby && policyToWire(autoStandby),
    }),
    ...(autostart === null ? { autostart } : {}),
    ...(autoStandby === null ? { auto_standby: null } : {}),
  };
}

export function updateFromWire(body: UpdateInstance): UpdateOptions {
  const { env, tags, autostart, auto_standby, wake, name, disk_bytes, overlay_size, ...service } = body;
  return {
    ...serviceFromWire({ ...service, autostart: autostart ?? undefined }),
    ...present({
      env,
      tags,
      wake: wake as UpdateOptions['wake'],
      name,
      disk: disk_bytes ?? overlay_size,
      limits: limitsFromWire(body),
      autoStandby: auto_standby && policyFromWire(auto_standby),
    }),
    ...(autostart === null ? { autostart } : {}),
    ...(auto_standby === null ? { autoStandby: null } : {}),
  };
}
