import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isVivError, VivError } from '@vivarium/model';
import { checkFiles, type Digests } from '../../saved-states/check.ts';
import { mismatch, stateFiles } from '../../saved-states/manifest.ts';
import type { MachineSpec, SavedState, SavedStateManifest } from '../driver.ts';
import { type Incoming, incomingUri } from './command-line.ts';
import { volumeName } from './memory.ts';
import { ramAddress } from './ram.ts';
import type { MachineFile } from './record.ts';

/** QEMU reads 35 KB of device state; a loaded host may take its time. Milliseconds. */
const loadTimeoutMs = 30_000;
const applyTimeoutMs = 60_000;

/**
 * Refuses a saved state that this machine can't be made from. A newer QEMU with the same machine type is let try: it loads
 * with the vCPUs stopped, and what it can't load it refuses.
 *
 * @throws VivError `saved_state_mismatch`, `saved_state_damaged`.
 */
export async function checkFits(
  state: SavedState,
  spec: MachineSpec,
  machine: MachineFile,
  digests: Digests,
): Promise<void> {
  const { vmm, shape, boot, driver } = state.manifest;
  const demand = (what: string, saved: unknown, present: unknown) => {
    if (saved !== present) throw mismatch(what, String(saved), String(present));
  };
  demand('the driver', driver, 'qemu');
  demand('the machine type', vmm.machine, machine.machine);
  demand('the accelerator', vmm.accelerator, machine.accelerator);
  demand('the CPU', vmm.cpu, machine.shape.cpu);
  if (isOlder(machine.vmmVersion, vmm.version)) throw mismatch('QEMU', vmm.version, machine.vmmVersion);
  demand('the number of vCPUs', shape.cpus, spec.cpus);
  demand('memory of', shape.memoryBytes, spec.memoryBytes);
  demand('the kernel', boot.kernel, machine.shape.boot.kernel);
  demand('the agent', boot.initramfs, machine.shape.boot.initramfs);
  const volumes = spec.disks.filter(({ unit }) => unit !== undefined);
  const present = [...machine.shape.devices, ...volumes.map(({ serial }) => volumeName(serial))];
  const missing = shape.devices.find((device) => !present.includes(device));
  if (missing !== undefined) throw mismatch('the devices', shape.devices.join(' '), present.join(' '));
  await checkFiles(state, digests);
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  for (const [index, part] of (b ?? []).entries()) {
    const difference = (a?.[index] ?? 0) - part;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** The VMM, and the shim above it. */
export interface Restoring {
  execute(command: string, args?: object): Promise<unknown>;
  shim(method: string, params: object, timeoutMs: number): Promise<unknown>;
}

export function whenLoaded({ manifest }: SavedState): Incoming {
  return manifest.delta === undefined ? 'at-start' : 'when-told';
}

/**
 * Gives QEMU the memory that is not in the mapped file, and waits until it has loaded the device state. Answers what `query-status` told
 * then. `address`: of its RAM, where that was asked for already.
 */
export async function finishLoading(
  { execute, shim }: Restoring,
  { dir, manifest }: SavedState,
  { signal, address }: { signal?: AbortSignal; address?: number } = {},
): Promise<unknown> {
  if (manifest.delta !== undefined) {
    const range = { address: address ?? (await ramAddress(execute)), bytes: manifest.memory.bytes };
    await applyDelta(shim, range, path.join(dir, stateFiles.delta));
    await execute('migrate-incoming', { uri: incomingUri });
  }
  const deadline = performance.now() + loadTimeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const told = (await execute('query-status')) as { status?: string };
    if (told.status !== 'inmigrate') return told;
    if (performance.now() > deadline)
      throw new VivError('vmm_failed', 'QEMU did not load the saved state in time');
    await sleep(2, undefined, { signal });
  }
}

async function applyDelta(shim: Restoring['shim'], range: object, delta: string): Promise<void> {
  try {
    await shim('memory_apply', { ...range, delta }, applyTimeoutMs);
  } catch (cause) {
    if (!isVivError(cause, 'not_supported')) throw cause;
    throw new VivError('not_supported', cause.message, {
      hint: 'Let the parent of a process look into it (`kernel.yama.ptrace_scope` 0 or 1, or CAP_SYS_PTRACE), or start it cold.',
      cause,
    });
  }
}

/** A QEMU that could not load what was saved says so and exits. */
export function loadFailure(error: unknown, { vmm }: SavedStateManifest, version: string): unknown {
  const failed = error instanceof VivError ? error : undefined;
  const said =
    /(error while loading state|Unknown savevm section|load of migration failed|incoming migration)[^\n]*/i.exec(
      failed?.message ?? '',
    )?.[0];
  if (failed?.code !== 'vmm_failed' || said === undefined) return error;
  return new VivError(
    'saved_state_mismatch',
    `QEMU ${version} can't load what QEMU ${vmm.version} saved: ${said}`,
    {
      hint: 'Start it cold (`viv start --cold`): its disks are used, its memory is given up.',
      cause: error,
    },
  );
}
