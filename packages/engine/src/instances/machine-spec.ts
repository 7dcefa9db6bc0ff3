import { randomBytes } from 'node:crypto';
import type { MachineRecord, MachineSpec, NicSpec } from '../drivers/driver.ts';
import type { GuestConfig, GuestIdentity } from '../guest/guest.ts';
import { logDefaults } from '../service/options.ts';
import type { InstanceRecord } from '../store/record.ts';
import { diskOf } from '../volumes/attachments.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';

/** What every guest of ours is booted from. */
export interface BootFiles {
  kernel: string;
  initramfs: string;
  /** `sha256:…` of the two. */
  digests: { kernel: string; initramfs: string };
}

const MiB = 1024 ** 2;

/**
 * `panic=-1`: reboot at once, which ends the VMM and so is seen. `quiet`: each line costs an emulated UART write a byte.
 * `noautogroup`: its groups mean nothing to processes in cgroups, and each session makes one. `lsm`: the distribution's, but for TOMOYO,
 * which has no policy here and is asked all the same at every open and exec. `nowatchdog`: of lockups; a guest whose host is busy looks locked up,
 * and looking wakes an idle one. `psi=0`: no averages of stalls (`/proc/pressure`), which wake an idle guest every two seconds for ever. What
 * its accelerator wants the kernel to be told the driver adds.
 */
export const cmdline = [
  ...[
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'reboot=t',
    'random.trust_cpu=on',
    'noautogroup',
    'nowatchdog',
    'psi=0',
  ],
  'lsm=landlock,lockdown,yama,loadpin,safesetid,integrity,apparmor,selinux,smack,bpf',
].join(' ');

export const layersSerial = 'layers';
export const rootSerial = 'root';

export function bootSpec(files: BootFiles): MachineSpec['boot'] {
  return { kind: 'direct', ...files, cmdline };
}

/** The machine of an instance, and the shape its agent is told of. */
export async function machineSpec(
  context: Context,
  instance: Instance,
  { run, holdPorts }: { run: boolean; holdPorts?: boolean },
): Promise<MachineSpec> {
  const { record } = instance;
  const { spec } = record;
  const layers = await context.images.disk(spec.image.digest);
  return {
    instanceId: record.id,
    dir: instance.dir,
    cpus: spec.cpus,
    memoryBytes: machineMemory(spec.memoryBytes),
    boot: bootSpec(context.boot),
    guest: 'agent',
    disks: [
      { ...layers.disk, serial: layersSerial },
      { serial: rootSerial, path: context.disks.path(instance.dir), format: 'qcow2', readOnly: false },
      ...(record.volumes ?? []).map((attachment) => diskOf(context, attachment)),
    ],
    ...(record.nic === undefined ? {} : { nic: record.nic }),
    publish: spec.ports.map((port, index) => ({
      ...port,
      // A port we chose once is asked for again, and given up when somebody else has it by now.
      hostPort: port.hostPort || (record.ports[index]?.hostPort ?? 0),
      binding: port.hostPort === 0 ? 'preferred' : 'required',
    })),
    run,
    detached: !context.embedded || spec.detached,
    ...(holdPorts ? { holdPorts } : {}),
    logs: spec.logs ?? logDefaults,
  };
}

/** Templates are made for multiples of this many bytes: what is asked for is rounded up to one. */
const memoryStep = 64 * MiB;

/** Bytes of RAM the machine gets: at least what was asked for. */
export function machineMemory(askedBytes: number): number {
  return Math.ceil(askedBytes / memoryStep) * memoryStep;
}

export async function guestConfig(
  context: Context,
  record: InstanceRecord,
  machine: MachineRecord,
): Promise<GuestConfig> {
  const { layers } = await context.images.disk(record.spec.image.digest);
  return { ...guestIdentity(record, machine), root: { layers, layersSerial, overlaySerial: rootSerial } };
}

/** Who the guest is; with fresh randomness and the present time. */
export function guestIdentity(record: InstanceRecord, { clockSource }: MachineRecord): GuestIdentity {
  return {
    hostname: record.spec.hostname,
    machineId: record.machineId,
    generation: record.generation,
    entropy: randomBytes(256),
    clockNanos: BigInt(Date.now()) * 1_000_000n,
    ...(clockSource === undefined ? {} : { clockSource }),
    ...(record.nic === undefined ? {} : { network: guestNetwork(record.nic) }),
  };
}

function guestNetwork({ mac, backend }: NicSpec): NonNullable<GuestConfig['network']> {
  const prefix = backend.subnet.split('/')[1] ?? '24';
  return { mac, address: `${backend.ip}/${prefix}`, gateway: backend.gateway, dns: [backend.dns] };
}
