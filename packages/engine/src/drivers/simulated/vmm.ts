import { Duplex } from 'node:stream';
import { VivError } from '@vivarium/model';
import type {
  Channel,
  DiskSpec,
  ExitRecord,
  MachineLimits,
  MachineRecord,
  MachineSpec,
  MachineStatus,
} from '../driver.ts';
import { GatedChannel } from './gate.ts';
import type { Hardware, InProcessGuest, MakeGuest } from './hardware.ts';

/** What lies around a VMM. */
export interface Surroundings {
  /** What its guest takes the time stamp counter for. */
  tscKhz: number | undefined;
  makeGuest: MakeGuest;
  log(name: 'console.log' | 'app.log', data: string | Uint8Array): void;
  /** Called once, when it ends, before anybody else hears of it. */
  ended(vmm: SimulatedVmm): void;
}

/** Bytes a console client may be behind before it is dropped, as with the shim. */
const consoleBacklog = 1024 * 1024;

/** The VMM process of a simulated machine: what outlives drivers and their handles. */
export class SimulatedVmm {
  readonly spec: MachineSpec;
  readonly record: MachineRecord;
  /** As they were set last; a simulated machine is as fast as ever. */
  limits: MachineLimits | undefined;
  readonly #surroundings: Surroundings;
  readonly #exited = Promise.withResolvers<ExitRecord>();
  readonly #listeners = new Set<(status: MachineStatus) => void>();
  readonly #channels = new Map<'control' | 'bulk', GatedChannel>();
  readonly #consoles = new Set<Duplex>();
  #status: MachineStatus = 'created';
  #guest: InProcessGuest | undefined;
  #guestOff: 'exit' | 'keep' = 'exit';
  #exit: ExitRecord | undefined;
  readonly #tops = new Map<string, string>();
  readonly #volumes = new Map<string, DiskSpec>();
  /** It was saved before its guest was up. */
  #unbooted = false;

  constructor(spec: MachineSpec, record: MachineRecord, surroundings: Surroundings) {
    this.spec = spec;
    this.record = record;
    this.#surroundings = surroundings;
    for (const disk of spec.disks) if (disk.unit !== undefined) this.#volumes.set(disk.serial, disk);
  }

  get tscKhz(): number | undefined {
    return this.#surroundings.tscKhz;
  }

  /** The volumes that are plugged in, by serial. */
  get volumes(): ReadonlyMap<string, DiskSpec> {
    return this.#volumes;
  }

  plugVolume(disk: DiskSpec): void {
    this.#volumes.set(disk.serial, disk);
  }

  unplugVolume(serial: string): void {
    this.#volumes.delete(serial);
    this.#tops.delete(serial);
  }

  get status(): MachineStatus {
    return this.#status;
  }

  /** How it ended; undefined while it lives. */
  get exit(): ExitRecord | undefined {
    return this.#exit;
  }

  get exited(): Promise<ExitRecord> {
    return this.#exited.promise;
  }

  onStatus(listener: (status: MachineStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Lets the vCPUs run. True where that was the first time: the guest is to be booted. */
  run(): boolean {
    if (this.#status === 'running') return false;
    const first = this.#status === 'created' || this.#unbooted;
    this.#unbooted = false;
    this.#expect(['created', 'paused'], 'run', 'Resetting the machine is required: launch it anew.');
    this.#become('running');
    return first;
  }

  freeze(): void {
    if (this.#status === 'paused') return;
    this.#expect(['running'], 'be paused');
    this.#become('paused');
  }

  /** The machine that was saved takes the place of one that was never run: it stands still. Without memory its guest is yet to boot. */
  load(memory: Uint8Array | undefined): void {
    this.#expect(['created'], 'load saved memory');
    this.#become('paused');
    if (memory !== undefined) this.boot(memory);
    else this.#unbooted = true;
  }

  /** What the guest has in its memory; undefined where none is up yet. @throws VivError `not_supported`. */
  guestMemory(): Uint8Array | undefined {
    this.#expect(['running', 'paused'], 'be saved');
    if (this.#guest === undefined) return undefined;
    try {
      if (this.#guest.save !== undefined) return this.#guest.save();
    } catch (cause) {
      throw unsaveable(String(cause), cause);
    }
    throw unsaveable('its kind of guest has no memory of its own');
  }

  /** Puts an empty layer on a disk. */
  addLayer(serial: string, file: string): void {
    this.topLayer(serial);
    this.#tops.set(serial, file);
  }

  topLayer(serial: string): string {
    const disk = this.#volumes.get(serial) ?? this.spec.disks.find((one) => one.serial === serial);
    if (disk === undefined || disk.readOnly)
      throw new VivError('vmm_failed', `The machine has no disk ${serial} that is written to`);
    return this.#tops.get(serial) ?? disk.path;
  }

  /** The guest is up: from now on its channels answer. */
  boot(memory?: Uint8Array): void {
    if (this.#guest !== undefined || this.#exit !== undefined || this.#status === 'panicked') return;
    const hardware: Hardware = {
      spec: this.spec,
      volumes: this.#volumes,
      powerOff: () => this.guestIsOff(),
      panic: (message) => this.panic(message),
      print: (text) => this.print(text),
      log: (lines) => this.#log('app.log', lines),
    };
    const guest = this.#surroundings.makeGuest(hardware, memory);
    this.#guest = guest;
    if (this.#status !== 'running') guest.setRunning?.(false);
    for (const [channel, opened] of this.#channels) opened.attach(guest.connect(channel));
  }

  print(text: string): void {
    this.#log('console.log', text);
    for (const console of this.#consoles) {
      if (console.readableLength > consoleBacklog) console.destroy();
      else console.push(text);
    }
  }

  panic(message: string): void {
    if (this.#exit !== undefined) return;
    this.print(`Kernel panic - not syncing: ${message}\n`);
    this.#become('panicked');
    // A kernel that is told to reboot ends its VMM, which does not reboot; one that isn't stays for ever.
    if (rebootsOnPanic(this.spec)) setImmediate(() => this.end({ code: 0 }));
  }

  setGuestOff(then: 'exit' | 'keep'): void {
    this.#guestOff = then;
  }

  guestIsOff(): void {
    if (this.#exit !== undefined || this.#status === 'shutdown') return;
    this.print('reboot: Power down\n');
    if (this.#guestOff === 'exit') {
      this.end({ code: 0 });
      return;
    }
    for (const channel of this.#channels.values()) channel.detach();
    this.#guest?.end();
    this.#become('shutdown');
  }

  /** The process ends; there is no way back. Answers the record, the first one where it had ended before. */
  end(how: Pick<ExitRecord, 'code' | 'signal' | 'unobserved'>): ExitRecord {
    if (this.#exit !== undefined) return this.#exit;
    this.#exit = { ...how, at: new Date().toISOString(), stderr: '' };
    this.#guest?.end();
    this.#surroundings.ended(this);
    this.#become('exited');
    this.disconnect();
    this.#exited.resolve(this.#exit);
    return this.#exit;
  }

  /** Everybody who listened is gone; the machine goes on. */
  disconnect(): void {
    for (const stream of [...this.#channels.values(), ...this.#consoles]) stream.destroy();
    this.#listeners.clear();
  }

  /** One reader at a time: a new one takes control and bulk over. Any number of consoles. */
  open(channel: Channel): Duplex {
    if (channel === 'console') return this.#openConsole();
    if (this.spec.guest === 'none') {
      throw new VivError('not_supported', 'A foreign guest has no agent, and so no channels to one');
    }
    this.#channels.get(channel)?.destroy();
    const opened = new GatedChannel(this.#status === 'running');
    this.#channels.set(channel, opened);
    opened.once('close', () => {
      if (this.#channels.get(channel) === opened) this.#channels.delete(channel);
    });
    if (this.#guest !== undefined) opened.attach(this.#guest.connect(channel));
    return opened;
  }

  /** Throws unless the status is one of these. */
  #expect(wanted: readonly MachineStatus[], what: string, hint?: string): void {
    if (wanted.includes(this.#status)) return;
    const message = `The VMM of ${this.spec.instanceId} is ${this.#status} and can't ${what}`;
    throw new VivError('vmm_failed', message, hint === undefined ? {} : { hint });
  }

  #openConsole(): Duplex {
    // Nobody in a simulated guest reads its serial line: input is taken and forgotten.
    const console = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    this.#consoles.add(console);
    console.once('close', () => this.#consoles.delete(console));
    return console;
  }

  #log(name: 'console.log' | 'app.log', data: string | Uint8Array): void {
    if (this.#exit === undefined) this.#surroundings.log(name, data);
  }

  #become(status: MachineStatus): void {
    this.#status = status;
    for (const channel of this.#channels.values()) channel.setOpen(status === 'running');
    if (status === 'running' || status === 'paused') this.#guest?.setRunning?.(status === 'running');
    for (const listener of [...this.#listeners]) listener(status);
  }
}

function unsaveable(why: string, cause?: unknown): VivError {
  return new VivError('not_supported', `This machine can't be saved: ${why}`, { cause });
}

function rebootsOnPanic({ boot }: MachineSpec): boolean {
  return boot.kind === 'direct' && /\bpanic=-?[1-9]/.test(boot.cmdline);
}
