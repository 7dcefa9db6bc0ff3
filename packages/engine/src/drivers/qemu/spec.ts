import { isIPv4 } from 'node:net';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { MachineSpec } from '../driver.ts';

/** QEMU's machine types of the q35 family take no more. */
export const maxCpus = 255;
/** Below this the kernel cannot unpack itself and an initramfs. */
const minMemoryBytes = 64 * 2 ** 20;

/**
 * Refuses what could not work, or what could say more to QEMU than it should: option strings are comma-separated.
 *
 * @throws VivError `invalid_request`.
 */
export function checkSpec(spec: MachineSpec): void {
  const demand = (holds: boolean, message: string) => {
    if (!holds) throw new VivError('invalid_request', message);
  };
  demand(
    /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/.test(spec.instanceId),
    `Not an instance id: ${spec.instanceId}`,
  );
  demand(path.isAbsolute(spec.dir), `The machine's directory is no absolute path: ${spec.dir}`);
  demand(
    Number.isInteger(spec.cpus) && spec.cpus >= 1 && spec.cpus <= maxCpus,
    `1 to ${maxCpus} vCPUs, not ${spec.cpus}`,
  );
  demand(
    spec.memoryBytes >= minMemoryBytes,
    `A machine needs at least 64 MiB of memory, not ${spec.memoryBytes} bytes`,
  );
  for (const disk of spec.disks) {
    demand(
      /^[a-zA-Z0-9_-]{1,20}$/.test(disk.serial),
      `Not a disk serial (1 to 20 letters, digits, - or _): ${disk.serial}`,
    );
    demand(path.isAbsolute(disk.path), `Disk ${disk.serial}: no absolute path: ${disk.path}`);
  }
  demand(
    new Set(spec.disks.map((disk) => disk.serial)).size === spec.disks.length,
    'Two disks with one serial',
  );
  const units = spec.disks.flatMap(({ unit }) => unit ?? []);
  demand(
    units.every((unit) => Number.isInteger(unit) && unit >= 0 && unit <= 255) &&
      new Set(units).size === units.length,
    `Units of volumes are numbers of 0 to 255, each once: ${units.join(' ')}`,
  );
  checkNetwork(spec, demand);
}

function checkNetwork(
  { nic, publish }: MachineSpec,
  demand: (holds: boolean, message: string) => void,
): void {
  if (nic) {
    const { subnet, ip, gateway, dns } = nic.backend;
    demand(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(nic.mac), `Not a MAC address: ${nic.mac}`);
    const [network, bits] = subnet.split('/');
    demand(isIPv4(network ?? '') && /^\d{1,2}$/.test(bits ?? ''), `Not an IPv4 subnet: ${subnet}`);
    for (const address of [ip, gateway, dns]) demand(isIPv4(address), `Not an IPv4 address: ${address}`);
  }
  demand(
    publish.length === 0 || nic !== undefined,
    'Ports can only be published by a machine with a network card',
  );
  const isPort = (port: number, from: number) => Number.isInteger(port) && port >= from && port <= 65_535;
  for (const port of publish) {
    demand(isPort(port.guestPort, 1), `Not a port: ${port.guestPort}`);
    demand(isPort(port.hostPort, 0), `Not a port: ${port.hostPort}`);
  }
}
