import path from 'node:path';
import { VivError } from '@vivarium/model';
import { writeFileSynced } from '../durable.ts';
import { buildGpt, sectorBytes } from './gpt.ts';

/** Linux makes at most 256 devices of one disk (`DISK_MAX_PARTS`), the disk itself among them. */
export const maximumLayers = 255;

/** Names inside an image's directory. */
export const diskFiles = { descriptor: 'disk.vmdk', head: 'gpt-head', tail: 'gpt-tail' } as const;

/** A file and what it takes on the disk. */
interface Extent {
  /** Relative to the descriptor. */
  file: string;
  bytes: number;
}

/**
 * A VMDK descriptor over whole files. No blank line may stand before the first extent: QEMU 7.2 reads that one twice.
 * Extents are named relative to the descriptor, so a data directory can be moved.
 */
export function vmdkDescriptor(extents: readonly Extent[], contentId: string): string {
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${contentId}`,
    'parentCID=ffffffff',
    'createType="monolithicFlat"',
    ...extents.map(({ file, bytes }) => `RW ${bytes / sectorBytes} FLAT "${file}" 0`),
    'ddb.virtualHWVersion = "4"',
    'ddb.adapterType = "ide"',
    '',
  ];
  return lines.join('\n');
}

/**
 * Writes the one disk that carries all layers: partition table, the layer files as they are, partition table.
 *
 * @param dir The image's directory, where its files go.
 * @param layers Base first; files relative to `dir`.
 * @param hex Digest of the image in hex: identity of disk and partitions.
 */
export async function writeLayerDisk(dir: string, layers: readonly Extent[], hex: string): Promise<void> {
  if (layers.length > maximumLayers) {
    throw new VivError(
      'not_supported',
      `The image has ${layers.length} layers; a guest sees ${maximumLayers} at most`,
      {
        hint: 'Build it with fewer layers.',
      },
    );
  }
  const gpt = buildGpt(
    layers.map((layer) => layer.bytes),
    hex,
  );
  const extents = [
    { file: diskFiles.head, bytes: gpt.head.length },
    ...layers,
    { file: diskFiles.tail, bytes: gpt.tail.length },
  ];
  await writeFileSynced(path.join(dir, diskFiles.head), gpt.head);
  await writeFileSynced(path.join(dir, diskFiles.tail), gpt.tail);
  // fffffffe is reserved: it means "no content yet".
  const contentId = hex.startsWith('fffffff') ? '00000001' : hex.slice(0, 8);
  await writeFileSynced(path.join(dir, diskFiles.descriptor), vmdkDescriptor(extents, contentId));
}
