import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { MachineRecord, ProcessIdentity } from '../driver.ts';
import { type Accelerator, sockets } from './command-line.ts';
import type { SavedShape } from './memory.ts';

/** `machine.json`: what the driver knows of a machine and its shim does not. Written before the shim is started. */
export interface MachineFile {
  format: 1;
  vmmName: string;
  vmmVersion: string;
  accelerator: Accelerator;
  machine: string;
  /** Guest ports that QEMU forwards to. */
  guestPorts: number[];
  /** What a save of it writes down. */
  shape: SavedShape;
  /** {@link MachineRecord.clockSource} */
  clockSource?: string;
}

/** `shim.json`, as in docs/shim.md. Without `vmm`: the VMM was not started yet. */
export interface ShimFile {
  instanceId: string;
  shim: ProcessIdentity;
  vmm?: ProcessIdentity;
  ports: MachineRecord['ports'];
  launchedAt: string;
}

/** Files of a machine in its directory, beside its sockets and logs. */
export const files = {
  launch: 'launch.json',
  machine: 'machine.json',
  shim: 'shim.json',
  exit: 'exit.json',
} as const;

/** Of processes that have ended. The shim removes them itself, unless it was killed. */
export async function removeSockets(dir: string): Promise<void> {
  const names = [...Object.values(sockets), 'shim.sock', 'console.sock'];
  await Promise.all(names.map((name) => rm(path.join(dir, name), { force: true })));
}

/** Whole or not at all. */
export async function writeJson(dir: string, name: string, value: unknown): Promise<void> {
  const file = path.join(dir, name);
  await writeFile(`${file}.new`, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function readJson(dir: string, name: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(dir, name), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  // Nothing but the host's loss of power leaves it empty, and of what ran before that nothing is left.
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new VivError('internal', `${path.join(dir, name)} is damaged`, { cause });
  }
}

export async function readMachineFile(dir: string): Promise<MachineFile | undefined> {
  return (await readJson(dir, files.machine)) as MachineFile | undefined;
}

export async function readShimFile(dir: string): Promise<ShimFile | undefined> {
  const json = await readJson(dir, files.shim);
  return json && parseShimFile(json);
}

export async function hasLaunchFile(dir: string): Promise<boolean> {
  return (await readJson(dir, files.launch)) !== undefined;
}

/** From the shim's spelling to ours. */
export function parseShimFile(json: Record<string, unknown>): ShimFile {
  const ports = (json.ports ?? []) as { host_address: string; host_port: number; guest_port: number }[];
  const shim = identity(json.shim);
  if (!shim) throw new VivError('internal', 'A shim that does not say who it is');
  return {
    instanceId: String(json.instance_id),
    shim,
    vmm: identity(json.vmm),
    ports: ports.map((port) => ({
      hostAddress: port.host_address,
      hostPort: port.host_port,
      guestPort: port.guest_port,
    })),
    launchedAt: String(json.launched_at),
  };
}

function identity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, start_time: startTime, boot_id: bootId } = value as Record<string, unknown>;
  return typeof pid === 'number' && typeof startTime === 'number' && typeof bootId === 'string'
    ? { pid, startTime, bootId }
    : undefined;
}

export function machineRecord(
  dir: string,
  machine: MachineFile,
  shim: ShimFile & { vmm: ProcessIdentity },
): MachineRecord {
  return {
    driver: 'qemu',
    instanceId: shim.instanceId,
    dir,
    vmm: shim.vmm,
    shim: shim.shim,
    vmmName: machine.vmmName,
    vmmVersion: machine.vmmVersion,
    accelerator: machine.accelerator,
    machine: machine.machine,
    ports: shim.ports,
    launchedAt: shim.launchedAt,
    ...(machine.clockSource === undefined ? {} : { clockSource: machine.clockSource }),
  };
}
