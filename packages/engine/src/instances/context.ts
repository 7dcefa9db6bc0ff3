import type { DoctorReport, VmSnapshots } from '@vivarium/model';
import type { Driver, LayerMerge } from '../drivers/driver.ts';
import type { ConnectGuest } from '../guest/guest.ts';
import type { Cgroups } from '../host/cgroups/index.ts';
import type { ImageStore } from '../images/store.ts';
import type { NetworkBackend } from '../network/network.ts';
import type { OperationDoor } from '../operations/door.ts';
import type { Ledger } from '../operations/ledger.ts';
import type { Tasks } from '../operations/tasks.ts';
import type { Requests } from '../requests/requests.ts';
import type { Admission } from '../resources/admission.ts';
import type { Clock } from '../service/clock.ts';
import type { StandbyKeeper } from '../standby/keeper.ts';
import type { EventLog } from '../store/events.ts';
import type { Journal } from '../store/journal.ts';
import type { TemplateSource } from '../templates/template.ts';
import type { VolumeRoom } from '../volumes/room.ts';
import type { Instance } from './instance.ts';
import type { BootFiles } from './machine-spec.ts';

/** Root disks, as far as instances care. */
export interface RootDisks {
  /** Makes `<dir>/root.qcow2`. */
  create(dir: string, bytes: number, signal?: AbortSignal): Promise<void>;
  /** Grows it while no VMM has it open. */
  grow(dir: string, bytes: number): Promise<void>;
  path(dir: string): string;
  /**
   * What the disk holds is about to become read-only, below `next`, the empty file that is written to from then on. In effect with
   * {@link commitLayer}.
   */
  newLayer(dir: string): Promise<{ next: string }>;
  /** Whether nothing has been written above what is read-only: a new layer would be one too many. Certain while no vCPU runs. */
  isTopNew(dir: string): Promise<boolean>;
  commitLayer(dir: string): Promise<void>;
  abandonLayer(dir: string): Promise<void>;
  /** After a kill in between; `liveTop`: the file a VMM writes to, where one is alive. */
  settleLayer(dir: string, liveTop?: string): Promise<void>;
  /** Gives up what was written above the topmost read-only layer. */
  dropTop(dir: string): Promise<void>;
  /** What is to be merged, where there are more than `most` layers (default 8) under the top. */
  planMerge(dir: string, most?: number): Promise<LayerMerge | undefined>;
  /** Merges read-only layers of a disk that no VMM has open, where there are many. Cut off, it leaves the disk as it was. */
  flatten(dir: string, signal?: AbortSignal): Promise<void>;
  /**
   * A disk in `to` that goes on from what is read-only of the one in `from`; nothing is copied. One that is there already is replaced.
   * `prepared`: and from what is about to be, below the layer that {@link newLayer} has made.
   *
   * @throws VivError `not_supported` where what a VMM still writes can't have another name there.
   */
  copy(from: string, to: string, options?: { prepared?: boolean }): Promise<void>;
}

/** Everything an operation on an instance may use. */
export interface Context {
  /** `<data directory>/instances`. */
  dir: string;
  driver: Driver;
  images: ImageStore;
  disks: RootDisks;
  network: NetworkBackend;
  templates: TemplateSource;
  volumes: VolumeRoom;
  snapshotsOf(instance: Instance): VmSnapshots;
  door: OperationDoor;
  /** What is under way. */
  ledger: Ledger;
  /** Through which everything long is asked for. */
  tasks: Tasks;
  journal: Journal;
  requests: Requests;
  events: EventLog;
  connectGuest: ConnectGuest;
  boot: BootFiles;
  /** Bytes of memory of this host. */
  hostMemoryBytes: number;
  /** Whether there is room for what is asked for. */
  admission: Admission;
  standby: StandbyKeeper;
  /** Undefined where VMMs are no processes. */
  cgroups: Cgroups | undefined;
  /** True in a program that embeds the engine: VMs end with it unless they were asked to be detached. */
  embedded: boolean;
  instances: Instances;
  /** What restart policies, health checks and expiries go by. */
  clock: Clock;
  /** What keeps instances going; to be told of what changes of an instance beside its state. */
  service: { look(instance: Instance): void };
  /** What this host lacks. */
  doctor(home: string): Promise<DoctorReport['checks']>;
}

/** The instances of a data directory, by id and by name. */
export interface Instances {
  all(): Iterable<Instance>;
  byId(id: string): Instance | undefined;
  /** By exact id, then exact name, then id prefix. @throws VivError `not_found`, `ambiguous`. */
  find(idOrName: string): Instance;
  /** Takes the name, or throws `name_conflict`. */
  add(instance: Instance): void;
  remove(instance: Instance): void;
  /** Keeps the name for it beside the one it has, until the answer is called. @throws VivError `name_conflict`. */
  claim(instance: Instance, name: string): () => void;
  rename(instance: Instance, name: string): void;
}
