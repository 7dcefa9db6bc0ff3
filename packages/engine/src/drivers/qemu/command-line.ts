import type { DiskSpec, MachineSpec, NicSpec, VolumeDisk } from '../driver.ts';
import { memoryFiles } from './memory.ts';

export type Accelerator = 'kvm' | 'tcg';

/**
 * Sockets QEMU listens on, in the machine's directory, which is its working directory. A monitor serves one client at a time:
 * `guard` is the shim's own, for when a daemon holds `qmp` and does not move.
 */
export const sockets = {
  qmp: 'qmp.sock',
  guard: 'guard.sock',
  control: 'control.sock',
  bulk: 'bulk.sock',
} as const;

/** Names of the virtio-serial ports in the guest: docs/protocol.md. */
const portNames = { control: 'vivarium.control', bulk: 'vivarium.bulk', log: 'vivarium.log' } as const;

/** The network device's id; port forwards are added to it. */
export const netdevId = 'net0';

/**
 * Under TCG: what `qemu64` lacks of x86-64-v2. Boots as fast as plain `qemu64` (medians of 3: 1.69 and 1.65 s), and unlike
 * `Nehalem` or `Westmere` it is no Intel part, for which the kernel would turn on page table isolation, whose
 * every kernel entry flushes TCG's software TLB.
 */
export const tcgCpu = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm';

/** Cache of translated code, MiB, at most. QEMU's own default is 1 GiB, which could exceed the guest's whole memory. */
const translationCacheMiB = 256;

/** Node name of a disk in QEMU's block graph, until a layer is put on top of it: disk-layers.ts. */
export const diskNode = (serial: string): string => `disk-${serial}`;

/**
 * When a restored machine reads its device state: as it starts, or when it is told to ({@link incomingUri}). What of its memory is
 * not in the mapped file has to be there by then: virtio devices compare their rings with what was saved.
 */
export type Incoming = 'at-start' | 'when-told';

/** Where the device state is read from: the descriptor at which the shim has opened it (docs/shim.md). */
export const incomingUri = 'fd:5';

function incomingArguments(when: Incoming): string[] {
  const uri = when === 'at-start' ? incomingUri : 'defer';
  return ['-global', 'migration.send-configuration=off', '-incoming', uri];
}

/**
 * PCI slots, told instead of left to QEMU: a machine that is restored has its devices where they were saved, and may have
 * more. Slots 0 and 31 are the chipset's.
 */
const slots = { serial: 2, rng: 3, nic: 4, firstDisk: 5, volumes: 30 } as const;

/** The controller that volumes come and go on: pcie.0 itself takes nothing in a live machine. One queue is enough for 23 disks. */
export const volumeBus = 'volumes';

/** Id of a volume's device. */
export const volumeDevice = (serial: string): string => `volume-${serial}`;

/** What a command line depends on beside the machine: the host, and what it goes on from. */
export interface Surroundings {
  accelerator: Accelerator;
  machine: string;
  /** Rate of the host's time stamp counter, where it is known. */
  tscKhz?: number | undefined;
  /** {@link SavedStateManifest.virtio} */
  virtio?: 'legacy' | undefined;
}

/**
 * The arguments that follow the program's name. `{fd:console}`, `{fd:log}` and, for one that is `restored`, `{fd:incoming}`
 * are filled in by the shim. The machine is always the same for the same spec: nothing here depends on the host but the
 * accelerator, and how fast its time stamp counter is; and on what it goes on from, how it speaks to its devices.
 */
export function qemuArguments(spec: MachineSpec, host: Surroundings, restored?: Incoming): string[] {
  return [
    ...['-name', `vivarium-${spec.instanceId}`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...machineArguments(spec, host),
    ...(host.virtio === 'legacy' ? ['-global', 'virtio-pci.disable-modern=on'] : []),
    ...memoryArguments(spec, restored !== undefined),
    // What is restored is let go by QEMU itself, once it has the device state: the last of it.
    ...(spec.run ? [] : ['-S']),
    ...['-qmp', `unix:${sockets.qmp},server=on,wait=off`],
    ...['-qmp', `unix:${sockets.guard},server=on,wait=off`],
    ...bootArguments(spec, host),
    ...['-chardev', 'socket,id=console,fd={fd:console}', '-device', 'isa-serial,chardev=console'],
    ...(spec.guest === 'agent' ? channelArguments() : []),
    ...[
      '-object',
      'rng-random,id=rng0,filename=/dev/urandom',
      '-device',
      `virtio-rng-pci,rng=rng0,addr=${slots.rng}`,
    ],
    ...(spec.guest === 'agent'
      ? ['-device', `virtio-scsi-pci,id=${volumeBus},num_queues=1,addr=${slots.volumes.toString(16)}`]
      : []),
    ...spec.disks.flatMap((disk, index) => diskArguments(disk, index, spec.boot.kind)),
    ...(spec.nic ? nicArguments(spec.nic, spec) : []),
    ...(restored === undefined ? [] : incomingArguments(restored)),
  ];
}

function machineArguments(spec: MachineSpec, host: Surroundings): string[] {
  const { accelerator, machine } = host;
  const threads = spec.cpus > 1 ? 'multi' : 'single';
  const accel = accelerator === 'kvm' ? 'kvm' : `tcg,thread=${threads},tb-size=${translationCacheMiB}`;
  return [
    ...['-machine', `${machine},smm=off,vmport=off,hpet=off,suppress-vmdesc=on,memory-backend=ram`],
    ...['-accel', accel, '-cpu', cpuModel(accelerator)],
    ...['-smp', `cpus=${spec.cpus},sockets=1,cores=${spec.cpus},threads=1`],
    ...['-m', `size=${memoryMiB(spec)}M`],
    ...['-rtc', 'base=utc'],
  ];
}

export function cpuModel(accelerator: Accelerator): string {
  return accelerator === 'kvm' ? 'host' : tcgCpu;
}

const memoryMiB = (spec: MachineSpec): number => Math.floor(spec.memoryBytes / 2 ** 20);

/** RAM is always private to this QEMU; that of a restored machine is a file's, until it is written to. */
function memoryArguments(spec: MachineSpec, restored: boolean): string[] {
  const size = `id=ram,size=${memoryMiB(spec)}M`;
  return [
    '-object',
    restored
      ? `memory-backend-file,${size},mem-path=${memoryFiles.base},share=off`
      : `memory-backend-ram,${size}`,
  ];
}

function bootArguments({ boot, guest }: MachineSpec, host: Surroundings): string[] {
  if (boot.kind === 'firmware') return ['-boot', 'order=c,menu=off,strict=off'];
  const own = guest === 'agent' ? cmdlineFor(host) : '';
  return ['-kernel', boot.kernel, '-initrd', boot.initramfs, '-append', `${boot.cmdline} ${own}`.trim()];
}

/**
 * What the kernel is told beside the rest. Under TCG the guest's time stamp counter is the host's with an offset, on every vCPU, and reading
 * it takes no exit. Left to itself the kernel compares it with ticks at boot and gives it up for good (and for every VM that goes on from
 * that memory) where the host was too busy to deliver them; and it looks after it twice a second for ever, which is a third
 * of what an idle VM costs. `tsc=reliable` keeps it from both, and `tsc_early_khz` from finding a wrong rate where its first look at the
 * counter was disturbed (a second later it refines that against the ACPI timer, by at most 1 %). What the watch was good for, a saved machine that goes on where the
 * counter has another rate, is seen from outside: {@link clockSourceFor}.
 */
export function cmdlineFor({ accelerator, tscKhz }: Pick<Surroundings, 'accelerator' | 'tscKhz'>): string {
  if (accelerator !== 'tcg') return '';
  return tscKhz === undefined ? 'tsc=reliable' : `tsc=reliable tsc_early_khz=${tscKhz}`;
}

/**
 * What a guest is told to count time by where the time stamp counter would mislead it: the ACPI timer, which is slow to read and always
 * right. KVM gives guests a clock of its own.
 */
export function clockSourceFor(
  { guest }: Pick<MachineSpec, 'guest'>,
  accelerator: Accelerator,
  keepsTime: boolean,
): string | undefined {
  return accelerator === 'tcg' && guest === 'agent' && !keepsTime ? 'acpi_pm' : undefined;
}

function channelArguments(): string[] {
  const listening = (['control', 'bulk'] as const).flatMap((name) => [
    ...['-chardev', `socket,id=${name},path=${sockets[name]},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=${name},name=${portNames[name]}`],
  ]);
  return [
    ...['-device', `virtio-serial-pci,addr=${slots.serial}`],
    ...listening,
    ...[
      '-chardev',
      'socket,id=log,fd={fd:log}',
      '-device',
      `virtserialport,chardev=log,name=${portNames.log}`,
    ],
  ];
}

/**
 * A disk in QEMU's block graph, for its command line and for `blockdev-add`. As JSON, in which any path can be said. Guest
 * flushes reach the disk; QEMU's own locks keep two machines from writing one file; what the guest discards is given back to
 * the host.
 */
export function diskNodeOptions(
  name: string,
  disk: Pick<DiskSpec, 'path' | 'format' | 'readOnly'>,
  fileNode?: string,
): object {
  const file = {
    ...(fileNode === undefined ? {} : { 'node-name': fileNode }),
    driver: 'file',
    filename: disk.path,
    aio: 'threads',
    locking: 'on',
    cache: { direct: false, 'no-flush': false },
    'drop-cache': false,
    ...(disk.readOnly ? {} : { discard: 'unmap' }),
  };
  return {
    'node-name': name,
    driver: disk.format,
    'read-only': disk.readOnly,
    ...(disk.readOnly ? {} : { discard: 'unmap' }),
    file,
  };
}

/** The device of a volume, for the command line and for `device_add`: at the same place in a machine that is restored. */
export function volumeOptions({
  serial,
  unit,
}: VolumeDisk): { driver: string } & Record<string, string | number> {
  return {
    driver: 'scsi-hd',
    id: volumeDevice(serial),
    bus: `${volumeBus}.0`,
    'scsi-id': 0,
    lun: unit,
    drive: diskNode(serial),
    serial,
  };
}

function diskArguments(disk: DiskSpec, index: number, boot: MachineSpec['boot']['kind']): string[] {
  const node = diskNodeOptions(diskNode(disk.serial), disk);
  if (disk.unit !== undefined) {
    const { driver, ...options } = volumeOptions({ ...disk, unit: disk.unit });
    const pairs = Object.entries(options).map(([key, value]) => `${key}=${value}`);
    return ['-blockdev', JSON.stringify(node), '-device', [driver, ...pairs].join(',')];
  }
  const device = [
    'virtio-blk-pci',
    `drive=${diskNode(disk.serial)}`,
    `serial=${disk.serial}`,
    `addr=${(slots.firstDisk + index).toString(16)}`,
    ...(boot === 'firmware' ? [`bootindex=${index}`] : []),
  ];
  return ['-blockdev', JSON.stringify(node), '-device', device.join(',')];
}

/**
 * Published ports: QEMU itself takes any free port of 127.0.0.1 for each (port 0: the kernel picks, nobody can come
 * between), tells which in `info usernet`, and the shim relays its own listeners to it.
 */
function nicArguments(nic: NicSpec, spec: MachineSpec): string[] {
  const { subnet, ip, gateway, dns } = nic.backend;
  const guestPorts = new Set(spec.publish.map((port) => port.guestPort));
  const user = [
    `user,id=${netdevId},net=${subnet},host=${gateway},dns=${dns},dhcpstart=${ip}`,
    'restrict=off,ipv6=off',
    ...[...guestPorts].map((port) => `hostfwd=tcp:127.0.0.1:0-${ip}:${port}`),
  ];
  // No option ROM: nothing boots from the network. And a restored card tells nobody of the hardware address that was saved: the
  // guest is about to get another, or its peer is new. (`announce-rounds=0` would do as well, if QEMU 7.2 did not then fall over
  // a timer that it has given up when the guest resets the card.)
  const card = `virtio-net-pci,netdev=${netdevId},mac=${nic.mac},romfile=,guest_announce=off`;
  return [...['-netdev', user.join(',')], ...['-device', `${card},addr=${slots.nic}`]];
}
