import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DiskSpec, MachineSpec } from '@vivarium/engine';
import { createRootDisk } from '../../packages/engine/src/disks/index.ts';
import { connectGuest } from '../../packages/engine/src/guest/index.ts';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import { cmdline } from '../../packages/engine/src/instances/machine-spec.ts';
import { UserNetwork } from '../../packages/engine/src/network/user.ts';
import { filesToWarm } from '../../packages/engine/src/templates/warm-files.ts';
import { Conversation, firstOutput, printed, type Requests } from './conversation.ts';
import { copyWritten } from './memory.ts';
import { RawQmp } from './qmp.ts';
import { RawMachine, type RawState } from './raw-machine.ts';

const MiB = 2 ** 20;

type Spec = Omit<MachineSpec, 'dir' | 'instanceId'>;

/** Image-level memory that was made with nothing of ours but the agent: booted, a root mounted, a process run, and saved. */
export class RawTemplate implements AsyncDisposable {
  readonly #dir: string;
  readonly #spec: Spec;
  readonly #disk: string;
  readonly state: RawState;

  private constructor(dir: string, spec: Spec, disk: string) {
    this.#dir = dir;
    this.#spec = spec;
    this.#disk = disk;
    this.state = { memory: path.join(dir, 'memory'), devices: path.join(dir, 'devices') };
  }

  static async make(layers: { disk: DiskSpec; layers: number }): Promise<RawTemplate> {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-template-'));
    const disk = path.join(dir, 'root.qcow2');
    await createRootDisk({ path: disk, bases: path.join(tmpdir(), 'viv-floor-bases'), bytes: 10_240 * MiB });
    const template = new RawTemplate(dir, await cloneSpec(layers.disk, disk), disk);
    await using machine = await RawMachine.launch(template.#spec);
    await using guest = await connectGuest((channel) => machine.open(channel));
    await guest.configure({
      ...who('v', 0),
      root: { layers: layers.layers, layersSerial: 'layers', overlaySerial: 'root' },
    });
    await guest.warm(filesToWarm({ ...noConfig, cmd: ['sh'] }));
    using qmp = await RawQmp.connect(machine);
    await rawSave(machine, qmp, template.#spec.memoryBytes, template.state, 'stay');
    return template;
  }

  /** A clone and its disk; the disk is there before the clone is. */
  async prepare(): Promise<() => Promise<RawMachine>> {
    const { launch } = await this.#clone(this.#disk, this.state);
    return launch;
  }

  /** Milliseconds from the spawn to the first byte of the command. `named`: it is told who it is before, as ours are. */
  async toOutput(argv: string[], { named }: { named: boolean }): Promise<number> {
    const launch = await this.prepare();
    const began = performance.now();
    await using machine = await launch();
    await firstOutput(await machine.open('control'), this.#command(argv, named));
    return performance.now() - began;
  }

  /** One that goes on, once it has answered, or once a command that it runs has printed something. */
  async alive(argv?: string[]): Promise<RawMachine> {
    const launch = await this.prepare();
    const machine = await launch();
    await firstOutput(await machine.open('control'), argv === undefined ? [] : this.#command(argv, true));
    return machine;
  }

  /** With a command that has printed something, and the disk that it writes to. */
  async source(argv: string[]): Promise<{ machine: RawMachine; disk: string; conversation: Conversation }> {
    const { root, launch } = await this.#clone(this.#disk, this.state);
    const machine = await launch();
    const conversation = new Conversation(await machine.open('control'));
    await conversation.say(this.#command(argv, true), printed);
    return { machine, disk: root, conversation };
  }

  /** A further one, of a source that stands still while this is under way. */
  async childOf(disk: string, state: RawState): Promise<() => Promise<RawMachine>> {
    const { launch } = await this.#clone(disk, state);
    return launch;
  }

  /** Of another machine than the source. */
  identityOfChild(): readonly [method: string, params: object] {
    const network = { ...address(this.#spec), mac: '52:54:00:f1:00:f1' };
    return ['identity', { ...who('child', 2), network, copy: true, resetConnections: true }];
  }

  get memoryBytes(): number {
    return this.#spec.memoryBytes;
  }

  async #clone(disk: string, state: RawState) {
    // Beside the template's: a disk finds the one below it by a relative name.
    const root = path.join(this.#dir, `root-${randomBytes(4).toString('hex')}.qcow2`);
    await copyFile(disk, root);
    const disks = this.#spec.disks.map((disk) => (disk.serial === 'root' ? { ...disk, path: root } : disk));
    return { root, launch: () => RawMachine.launch({ ...this.#spec, disks }, state) };
  }

  #command(argv: string[], named: boolean): Requests {
    return [
      ...(named ? [['identity', { ...who('floor', 1), network: address(this.#spec) }] as const] : []),
      ['workload.start', { id: 'root', argv, env: {}, cwd: '/', user: '', stdin: 'null', output: 'retain' }],
      ['exec.attach', { execId: 'workload:root' }],
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** Milliseconds the machine stood still, and bytes that were copied while it did. */
export async function rawSave(
  machine: RawMachine,
  qmp: RawQmp,
  memoryBytes: number,
  { memory, devices }: RawState,
  afterwards: 'stay' | 'continue' = 'continue',
): Promise<{ milliseconds: number; bytes: number }> {
  const began = performance.now();
  await qmp.execute('stop');
  await qmp.execute('xen-save-devices-state', { filename: devices, live: true });
  const bytes = await copyWritten(machine, qmp, memoryBytes, memory);
  if (afterwards === 'continue') await qmp.execute('cont');
  return { milliseconds: performance.now() - began, bytes };
}

async function cloneSpec(layers: DiskSpec, disk: string): Promise<Spec> {
  const assets = await loadAssets();
  return {
    cpus: 1,
    memoryBytes: 256 * MiB,
    boot: {
      kind: 'direct',
      kernel: assets.kernel.path,
      initramfs: assets.initramfs.path,
      cmdline,
    },
    guest: 'agent',
    disks: [
      { ...layers, serial: 'layers' },
      { serial: 'root', path: disk, format: 'qcow2', readOnly: false },
    ],
    nic: new UserNetwork().allocate('floor', []),
    publish: [],
    run: true,
    detached: false,
    logs: { maxBytes: MiB, keep: 1 },
  };
}

const noConfig = { entrypoint: [], env: {}, user: '', workingDir: '', exposedPorts: [], labels: {} };

const who = (hostname: string, generation: number) => ({
  hostname,
  machineId: randomBytes(16).toString('hex'),
  generation,
  entropy: randomBytes(256),
  clockNanos: BigInt(Date.now()) * 1_000_000n,
});

function address({ nic }: Spec): object {
  if (nic === undefined) throw new Error('The floor has a card');
  const { ip, gateway, dns } = nic.backend;
  return { mac: nic.mac, address: `${ip}/28`, gateway, dns: [dns] };
}
