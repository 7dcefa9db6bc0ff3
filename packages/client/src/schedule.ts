import type { SnapshotSchedule } from '@vivarium/api';
import { scheduleFromWire, scheduleRequestToWire } from '@vivarium/api/wire';
import {
  type AskOptions,
  isVivError,
  type SnapshotScheduleInfo,
  type SnapshotScheduleOptions,
  type VmSnapshotSchedule,
} from '@vivarium/model';
import type { Transport } from './transport.ts';

/** The snapshot schedule of one VM, through the daemon. */
export class RemoteSchedule implements VmSnapshotSchedule {
  readonly #transport: Transport;
  readonly #id: string;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#id = id;
  }

  async get({ signal }: AskOptions = {}): Promise<SnapshotScheduleInfo | undefined> {
    const send = { params: { id: this.#id }, signal };
    try {
      const { value } = await this.#transport.json<SnapshotSchedule>('getSnapshotSchedule', send);
      return scheduleFromWire(value);
    } catch (error) {
      if (!isVivError(error, 'not_found')) throw error;
      // Of a VM that is gone, or one without a schedule?
      await this.#transport.json('getInstance', send);
      return undefined;
    }
  }

  async set(options: SnapshotScheduleOptions, { signal }: AskOptions = {}): Promise<SnapshotScheduleInfo> {
    const send = { params: { id: this.#id }, json: scheduleRequestToWire(options), signal };
    return scheduleFromWire(
      (await this.#transport.json<SnapshotSchedule>('setSnapshotSchedule', send)).value,
    );
  }

  async remove({ signal }: AskOptions = {}): Promise<void> {
    await this.#transport.json('deleteSnapshotSchedule', { params: { id: this.#id }, signal });
  }
}
