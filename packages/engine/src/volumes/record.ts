import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { VolumeMode } from '@vivarium/model';
import { replaceFile } from '../images/durable.ts';
import type { Context } from '../instances/context.ts';
import type { MarkedCall } from '../requests/request.ts';

/** All that is kept of a volume: in the database, and as `record.json` beside its disk. Who has it, the instances' records say. */
export interface VolumeRecord {
  format: 1;
  id: string;
  name: string;
  bytes: number;
  tags: Record<string, string>;
  /** A snapshot: nobody may write to it. */
  readOnly: boolean;
  /** What it is a clone or a snapshot of. */
  sourceId?: string;
  /** RFC 3339. */
  createdAt: string;
  /** `making`: nothing of it stays after a kill. `removing`: it goes. */
  phase: 'making' | 'made' | 'removing';
  /** Rises whenever somebody may have written to it: memory that was saved with it mounted belongs to one generation. */
  generation: number;
  /** Its file system may have a journal to be replayed, or has not grown to its disk: a guest has to write to it before others read. */
  unclean?: true;
  /** The request with an idempotency key that it was made for. */
  request?: string;
  /** SHA-256 of the archive that it was made of, in hexadecimal digits. */
  archive?: string;
  /** The operation that it was made by, where that may outlive its caller. */
  operation?: string;
}

/** What is known of a volume beside what was asked for. */
export type VolumeOrigin = Partial<
  Pick<VolumeRecord, 'readOnly' | 'sourceId' | 'unclean' | 'request' | 'operation'>
>;

/** A volume of an instance, in the instance's record. */
export interface AttachmentRecord {
  volumeId: string;
  path: string;
  mode: VolumeMode;
  /** Its place on the machine's controller. The same for as long as it is attached: saved memory knows it by that. */
  unit: number;
  /** Name of its private layer, where it has one. */
  layer: string;
  /** Of the volume, as it was when the guest mounted it. */
  generation?: number;
  /** What was under way with it: after a kill `attaching` is undone, and so is `detaching` where the guest still has it mounted; else that is finished. */
  settling?: 'attaching' | 'detaching';
}

const fileName = 'record.json';

export async function writeVolumeRecord(dir: string, record: VolumeRecord): Promise<void> {
  await replaceFile(path.join(dir, fileName), `${JSON.stringify(record, null, 2)}\n`);
}

/** Undefined where there is none, or where it is no record of this format. */
export async function readVolumeRecord(dir: string): Promise<VolumeRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(path.join(dir, fileName), 'utf8')) as VolumeRecord;
    return record.format === 1 && typeof record.id === 'string' && typeof record.name === 'string'
      ? record
      : undefined;
  } catch (error) {
    const missing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
    if (missing || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What the guest finds its disk by. Ids may be longer than a serial number, of which a VMM's names are made as well. */
export function serialOf(volumeId: string): string {
  return `v${createHash('sha256').update(volumeId).digest('hex').slice(0, 16)}`;
}

/** Whose the volume is that is being made: kept with it, so that a kill leaves no doubt. */
export function markOf(
  { ledger }: Pick<Context, 'ledger'>,
  { request }: MarkedCall,
): Pick<VolumeOrigin, 'request' | 'operation'> {
  const operation = ledger.request?.id;
  return {
    ...(request === undefined ? {} : { request }),
    ...(operation === undefined ? {} : { operation }),
  };
}
