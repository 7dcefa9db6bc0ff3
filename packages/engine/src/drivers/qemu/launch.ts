import { rm } from 'node:fs/promises';
import path from 'node:path';
import { isVivError, VivError } from '@vivarium/model';
import { allOver } from '../../all-over.ts';
import { waitUntilGone } from '../../host/identity.ts';
import type { QemuInfo } from '../../host/qemu.ts';
import { keepsTime } from '../../saved-states/clock-rate.ts';
import { stateFiles } from '../../saved-states/manifest.ts';
import {
  type Driver,
  type ExpectedState,
  inherited,
  inheritedFrom,
  type MachineSpec,
  type ProcessIdentity,
  type SavedState,
} from '../driver.ts';
import { attach, earlyEnd } from './attach.ts';
import { type Accelerator, clockSourceFor, cpuModel, qemuArguments, sockets } from './command-line.ts';
import { shimDigests } from './digests.ts';
import { readExit } from './exit-record.ts';
import { dial, type QemuMachine } from './machine.ts';
import { devicesOf, placeMemory, type SavedShape } from './memory.ts';
import { files, type MachineFile, machineRecord, removeSockets, writeJson } from './record.ts';
import { checkFits } from './restore.ts';
import type { ReadMemory } from './save.ts';
import { ShimClient } from './shim-client.ts';
import type { StartedShim } from './shim-process.ts';
import { RestoreSource, Unmet } from './source.ts';

export interface LaunchContext {
  shimPath: string;
  /** Has the shim of this machine be there. @throws the signal's reason. */
  start(): Promise<StartedShim>;
  qemu: QemuInfo;
  accelerator: Accelerator;
  readMemory: ReadMemory;
  /** Of this host, where a guest's time depends on it and it is known. */
  tscKhz: number | undefined;
}

interface LaunchOptions {
  signal?: AbortSignal;
  from?: SavedState | ExpectedState;
  onReachable?: Parameters<Driver['launch']>[3];
}

/**
 * Starts the shim and through it QEMU, from what was saved where there is something, or is to be. All or nothing: on any failure no process,
 * socket or record is left.
 */
export async function launch(
  spec: MachineSpec,
  context: LaunchContext,
  options: LaunchOptions = {},
): Promise<QemuMachine> {
  try {
    return await start(spec, context, options);
  } catch (error) {
    if (!(error instanceof Unmet)) throw error;
    if (error.state === undefined) throw VivError.from(error.cause);
    return start(spec, context, { ...options, from: error.state });
  }
}

async function start(
  spec: MachineSpec,
  context: LaunchContext,
  { signal, from, onReachable }: LaunchOptions,
): Promise<QemuMachine> {
  const machine = machineFile(spec, context, from);
  const digests = shimDigests(context.shimPath);
  const source = from && (await RestoreSource.of(from, (state) => checkFits(state, spec, machine, digests)));
  let shim: StartedShim | undefined;
  let vmm: ProcessIdentity | undefined;
  let client: ShimClient | undefined;
  try {
    await allOver([
      writeJson(spec.dir, files.machine, machine),
      placeMemory(spec.dir, source?.dir),
      writeJson(spec.dir, files.launch, launchFile(spec, context, machine.shape, source)),
    ]);
    signal?.throwIfAborted();
    shim = await context.start();
    source?.started();
    const announced = await shim.announcement(signal);
    vmm = announced.vmm;
    if (!vmm) throw new VivError('vmm_failed', 'The shim started no VMM');
    client = await reachShim(spec.dir, signal);
    const record = machineRecord(spec.dir, machine, { ...announced, vmm });
    const launched = await attach(record, client, machine, {
      signal,
      load:
        source &&
        ((vmm, waiting) => {
          const reachable = () => onReachable?.({ open: (channel, stop) => dial(spec.dir, channel, stop) });
          return source.load(vmm, spec.dir, { signal, waiting, reachable });
        }),
      means: { digests, readMemory: context.readMemory },
    });
    shim.release();
    return launched;
  } catch (error) {
    client?.close();
    await shim?.end();
    if (vmm) await waitUntilGone(vmm, 5_000);
    // Another shim lives here: everything in the directory is its own.
    if (!isVivError(error, 'conflict')) await removeTraces(spec.dir);
    if (signal?.aborted)
      throw new VivError('cancelled', 'The launch was cancelled', { cause: signal.reason });
    if (error instanceof Unmet) throw error;
    throw VivError.from(source ? await source.explained(error, machine.vmmVersion) : error);
  }
}

/** A VMM that ends at once takes its shim along before anybody has spoken to it; what it wrote down is the reason. */
async function reachShim(dir: string, signal?: AbortSignal): Promise<ShimClient> {
  try {
    return await ShimClient.connect(dir, signal);
  } catch (error) {
    signal?.throwIfAborted();
    const exit = await readExit(dir);
    throw exit === undefined ? error : earlyEnd(exit, error);
  }
}

/** Logs stay: they are the evidence of what went wrong. */
async function removeTraces(dir: string): Promise<void> {
  await removeSockets(dir);
  const names = [...Object.values(files), 'shim.lock'];
  await placeMemory(dir, undefined);
  await Promise.all(names.map((name) => rm(path.join(dir, name), { force: true })));
}

/** What is known of a machine before it is launched. */
export function machineFile(
  spec: MachineSpec,
  { qemu, accelerator, tscKhz: present }: Pick<LaunchContext, 'qemu' | 'accelerator' | 'tscKhz'>,
  from?: SavedState | ExpectedState,
): MachineFile {
  const { tscKhz, virtio } = from ? inheritedFrom(from) : firstOf(spec, present);
  const clockSource = clockSourceFor(spec, accelerator, keepsTime(tscKhz, present));
  return {
    format: 1,
    vmmName: 'qemu',
    vmmVersion: qemu.version,
    accelerator,
    machine: qemu.machine,
    guestPorts: [...new Set(spec.publish.map((port) => port.guestPort))],
    shape: {
      cpus: spec.cpus,
      memoryBytes: spec.memoryBytes,
      devices: devicesOf(spec),
      cpu: cpuModel(accelerator),
      boot: (spec.boot.kind === 'direct' && spec.boot.digests) || { kernel: '', initramfs: '' },
      ...inherited({ tscKhz, virtio }),
    },
    ...(clockSource === undefined ? {} : { clockSource }),
  };
}

/**
 * Of one that goes on from nothing. A guest of ours speaks to its devices as before virtio 1.0: of each of them QEMU saves 0.5 KB instead of
 * 45, most of it rings that no device has, and loads it byte by byte.
 */
function firstOf({ guest }: MachineSpec, tscKhz: number | undefined): ReturnType<typeof inheritedFrom> {
  return inherited({ tscKhz, virtio: guest === 'agent' ? 'legacy' : undefined });
}

/** In the shim's spelling: docs/shim.md. */
function launchFile(
  spec: MachineSpec,
  { qemu, accelerator, tscKhz }: LaunchContext,
  { virtio }: SavedShape,
  source: RestoreSource | undefined,
): object {
  const { machine } = qemu;
  return {
    format: 1,
    instance_id: spec.instanceId,
    argv: [qemu.path, ...qemuArguments(spec, { accelerator, machine, tscKhz, virtio }, source?.when)],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    logs: { max_bytes: spec.logs.maxBytes, keep: spec.logs.keep },
    ports: spec.publish.map((port) => ({
      host_address: port.hostAddress,
      host_port: port.hostPort,
      guest_port: port.guestPort,
      binding: port.binding,
    })),
    hold_ports: spec.holdPorts === true,
    remove: Object.values(sockets),
    detached: spec.detached,
    ...(source ? { incoming: path.resolve(source.dir, stateFiles.devices) } : {}),
  };
}
