import type { Duplex } from 'node:stream';
import { isVivError, VivError } from '@vivarium/model';
import { isAlive, killProcess, waitUntilGone } from '../../host/identity.ts';
import type {
  Channel,
  DiskGrower,
  DiskLayerer,
  DiskMerger,
  ExitRecord,
  LayerMerge,
  Machine,
  MachineLimits,
  MachineRecord,
  MachineSaver,
  MachineStatus,
  MachineThrottler,
  PortHolder,
  PortTraffic,
  ProcessIdentity,
  SavedStateManifest,
  SaveTarget,
  VolumeDisk,
  VolumePlugger,
} from '../driver.ts';
import { sockets } from './command-line.ts';
import { digestsBy } from './digests.ts';
import { addLayer, topLayer, topNode } from './disk-layers.ts';
import { mergeLayers, settleMerge } from './disk-merge.ts';
import { readExit, recordUnobservedExit } from './exit-record.ts';
import { placeMemory, type SavedShape } from './memory.ts';
import { holdPorts, traffic } from './ports.ts';
import { QmpClient } from './qmp.ts';
import { ramAddress } from './ram.ts';
import { removeSockets } from './record.ts';
import { type SavingMeans, saveMachine } from './save.ts';
import type { ShimClient } from './shim-client.ts';
import { StatusWatch, statusFrom } from './status.ts';
import { throttle, throttleDisks } from './throttle.ts';
import { connectUnix, connectUnixForMuch, isNotListening } from './unix-socket.ts';
import { pluggedVolumes, plugVolume, unplugVolume } from './volumes.ts';

/** The shim kills and reaps in milliseconds; a VMM that waits for a disk can take longer. */
const killTimeoutMs = 5_000;
const resetTimeoutMs = 10_000;
/** SeaBIOS's resets follow each other after 15 to 60 ms; the guest itself needs over a second to its first. */
const betweenResetsMs = 400;
/** A VMM dies with its shim, by the kernel's hand. */
const orphanTimeoutMs = 2_000;

/** What is known of a machine beside its processes. */
export interface Particulars extends SavingMeans {
  record: MachineRecord;
  shape: SavedShape;
}

/** A machine whose VMM is a QEMU below a shim. */
export class QemuMachine
  implements
    Machine,
    DiskGrower,
    DiskLayerer,
    DiskMerger,
    MachineSaver,
    MachineThrottler,
    PortHolder,
    VolumePlugger
{
  readonly record: MachineRecord;
  /** Of a machine that was let go of, it never settles. */
  readonly exited: Promise<ExitRecord>;
  readonly #particulars: Particulars;
  readonly #shim: ShimClient;
  readonly #watch: StatusWatch;
  #qmp: Promise<QmpClient>;
  #killing: Promise<ExitRecord> | undefined;
  #exit: ExitRecord | undefined;
  #ramAddress: number | undefined;
  readonly #reach = { proven: false };
  /** As they were set last through this handle. */
  #limits: MachineLimits | undefined;
  #released = false;

  constructor(particulars: Particulars, shim: ShimClient, qmp: QmpClient, status: MachineStatus) {
    this.record = particulars.record;
    this.#particulars = particulars;
    this.#shim = shim;
    this.#watch = new StatusWatch(status);
    this.#watch.follow(qmp);
    this.#qmp = Promise.resolve(qmp);
    this.exited = this.#awaitExit();
    this.exited.catch(() => {}); // whoever asks still hears it
  }

  async status(): Promise<MachineStatus> {
    if (this.#exit) return 'exited';
    try {
      return statusFrom(await this.#execute('query-status'));
    } catch (error) {
      if (this.#exit || !(await isAlive(this.record.vmm))) return this.exited.then(() => 'exited');
      throw error;
    }
  }

  onStatus(listener: (status: MachineStatus) => void): () => void {
    return this.#watch.subscribe(listener);
  }

  async pause(): Promise<void> {
    await this.#execute('stop');
  }

  async resume(): Promise<void> {
    if ((await this.status()) === 'shutdown') await this.#startOver();
    else await this.#execute('cont');
  }

  async powerdown(): Promise<void> {
    await this.#execute('system_powerdown');
  }

  async onGuestOff(then: 'exit' | 'keep'): Promise<void> {
    await this.#execute('set-action', { shutdown: then === 'keep' ? 'pause' : 'poweroff' });
  }

  async growDisk(serial: string, bytes: number): Promise<void> {
    const node = await topNode(this.#execute, serial);
    await this.#execute('block_resize', { 'node-name': node, size: bytes });
  }

  async plugVolume(disk: VolumeDisk): Promise<void> {
    await plugVolume(this.#execute, disk);
    if (this.#limits !== undefined) await throttleDisks(this.#execute, this.#limits);
  }

  unplugVolume(serial: string): Promise<void> {
    return unplugVolume(this.#execute, serial);
  }

  pluggedVolumes(): Promise<string[]> {
    return pluggedVolumes(this.#execute);
  }

  addLayer(serial: string, file: string): Promise<void> {
    return addLayer(this.#execute, serial, file);
  }

  topLayer(serial: string): Promise<string> {
    return topLayer(this.#execute, serial);
  }

  mergeLayers(serial: string, merge: LayerMerge, signal: AbortSignal): Promise<void> {
    return mergeLayers(this.#execute, serial, merge, signal);
  }

  async settleMerge(serial: string): Promise<void> {
    await settleMerge(this.#execute, serial);
  }

  save(target: SaveTarget): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }> {
    const shim = (method: string, params: object, timeoutMs: number) =>
      this.#shim.request(method, params, timeoutMs);
    const saveable = {
      ...this.#particulars,
      execute: this.#execute,
      address: this.#address,
      reach: this.#reach,
      shim,
      digests: digestsBy(shim, this.#particulars.digests),
    };
    return this.#watch.hold(() => saveMachine(saveable, target));
  }

  throttle(limits: MachineLimits): Promise<void> {
    this.#limits = limits;
    return throttle(this.#execute, this.#shim, limits);
  }

  traffic(): Promise<PortTraffic[]> {
    return traffic(this.#shim);
  }

  holdPorts(options: { keep: boolean; holdMs: number }): Promise<PortTraffic[]> {
    return holdPorts(this.#shim, options);
  }

  async releasePorts(): Promise<void> {
    await this.#shim.request('ports_release');
  }

  kill(): Promise<ExitRecord> {
    this.#killing ??= this.#kill();
    this.#killing.catch(() => {
      this.#killing = undefined;
    });
    return this.#killing;
  }

  async open(channel: Channel, signal?: AbortSignal): Promise<Duplex> {
    if (this.#exit) throw this.#gone();
    try {
      return await dial(this.record.dir, channel, signal);
    } catch (cause) {
      if (signal?.aborted) throw new VivError('cancelled', `Opening ${channel} was cancelled`, { cause });
      // EAGAIN: it accepts nobody, and the kernel keeps no more waiting for it.
      if (!isNotListening(cause)) {
        throw new VivError('vmm_failed', `The ${channel} channel could not be opened`, { cause });
      }
      if (!(await isAlive(this.record.vmm))) throw this.#gone(cause);
      throw new VivError('not_supported', `The machine has no ${channel} channel`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#released = true;
    this.#watch.close();
    this.#shim.close();
    const qmp = await this.#qmp.catch(() => undefined);
    qmp?.close();
  }

  readonly #execute = async (command: string, args: object = {}, timeoutMs?: number): Promise<unknown> => {
    if (this.#exit) throw this.#gone();
    const qmp = await this.#connection();
    try {
      return await qmp.execute(command, args, timeoutMs);
    } catch (error) {
      // Where the VMM has just ended, that is the reason worth telling.
      if (!qmp.isOpen && !(await isAlive(this.record.vmm))) throw this.#gone(error);
      throw error;
    }
  };

  /** It is asked for once. */
  readonly #address = async (): Promise<number> => {
    this.#ramAddress ??= await ramAddress(this.#execute);
    return this.#ramAddress;
  };

  /** A lost connection is made again: QEMU does not mind, and the VM is no less alive. */
  async #connection(): Promise<QmpClient> {
    const current = await this.#qmp.catch(() => undefined);
    if (current?.isOpen) return current;
    if (this.#released) throw new VivError('vmm_failed', 'The machine was let go of');
    const pending = QmpClient.connect(this.record.dir, sockets.qmp, { timeoutMs: 2_000 });
    this.#qmp = pending;
    try {
      const qmp = await pending;
      this.#watch.follow(qmp);
      return qmp;
    } catch (error) {
      if (isVivError(error)) throw error;
      throw new VivError('vmm_failed', 'QEMU cannot be reached', { cause: error });
    }
  }

  /**
   * From Shutdown. `-no-reboot` makes QEMU end on any reset, so that is lifted for ours and for those that follow: SeaBIOS,
   * finding that it is not there for the first time, resets the machine once more, under TCG up to 14 times before it
   * goes on.
   */
  async #startOver(): Promise<void> {
    const qmp = await this.#connection();
    await this.#execute('set-action', { reboot: 'reset' });
    try {
      const ours = qmp.waitFor('RESET', resetTimeoutMs);
      await this.#execute('system_reset');
      await ours;
      await this.#execute('cont');
      const deadline = performance.now() + resetTimeoutMs;
      while (performance.now() < deadline && (await qmp.waitFor('RESET', betweenResetsMs)));
    } finally {
      await this.#execute('set-action', { reboot: 'shutdown' });
    }
  }

  async #kill(): Promise<ExitRecord> {
    if (this.#exit) return this.#exit;
    try {
      await this.#shim.request('kill', {}, killTimeoutMs);
      await this.#shim.awaitExit();
    } catch (error) {
      // The shim does not answer, or was let go of: whoever provably is the VMM is ended, and then the shim records it.
      if (!(await killProcess(this.record.vmm))) throw undead(this.record.vmm, error);
      const exit = await settleExit(this.record);
      if (this.#released) return exit;
    }
    return this.exited;
  }

  async #awaitExit(): Promise<ExitRecord> {
    const told = await this.#shim.exit;
    if (!told && this.#released) return new Promise(() => {}); // nobody watches any more
    const exit = told ?? (await settleExit(this.record));
    if (told) {
      await waitUntilGone(this.record.shim, orphanTimeoutMs);
      // Nobody maps it any more: a template that was removed since is gone from the disk now.
      await placeMemory(this.record.dir, undefined);
    }
    this.#exit = exit;
    this.#watch.ended();
    const qmp = await this.#qmp.catch(() => undefined);
    qmp?.close();
    this.#shim.close();
    return exit;
  }

  #gone(cause?: unknown): VivError {
    const how = this.#exit?.signal ?? this.#exit?.code;
    return new VivError('vmm_failed', `QEMU has ended${how === undefined ? '' : ` (${how})`}`, { cause });
  }
}

/**
 * How a machine ended whose shim tells nothing more: what the shim wrote down, or that nobody saw it. Shim and VMM are gone
 * when this resolves, and so are the sockets that a killed shim could not remove.
 *
 * @throws VivError `vmm_failed` where the VMM can't be ended.
 */
export async function settleExit({ dir, shim, vmm }: Ended): Promise<ExitRecord> {
  // It may still be writing its record.
  if (!(await waitUntilGone(shim, orphanTimeoutMs)) && !(await killProcess(shim))) throw undead(shim);
  if (vmm && !(await waitUntilGone(vmm, orphanTimeoutMs)) && !(await killProcess(vmm))) throw undead(vmm);
  await removeSockets(dir);
  await placeMemory(dir, undefined);
  return (await readExit(dir)) ?? (await recordUnobservedExit(dir));
}

type Ended = Pick<MachineRecord, 'dir' | 'shim'> & { vmm?: ProcessIdentity };

function undead({ pid }: ProcessIdentity, cause?: unknown): VivError {
  return new VivError('vmm_failed', `Process ${pid} does not end on SIGKILL`, { cause });
}

/** Fails as the socket does. */
export function dial(dir: string, channel: Channel, signal?: AbortSignal): Promise<Duplex> {
  const name = channel === 'console' ? 'console.sock' : sockets[channel];
  return channel === 'bulk' ? connectUnixForMuch(dir, name, signal) : connectUnix(dir, name, signal);
}
