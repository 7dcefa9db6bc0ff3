import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { run, SetupError } from './command.ts';

/** Offsets from Documentation/arch/x86/boot.rst of the kernel. */
const setupSectors = 0x1f1;
const headerMagic = 0x202;
const payloadOffset = 0x248;
const payloadLength = 0x24c;

type Decompress = (data: Buffer) => Buffer | Promise<Buffer>;

const decompressors: { name: string; magic: number[]; sized: boolean; decompress: Decompress }[] = [
  { name: 'gzip', magic: [0x1f, 0x8b], sized: false, decompress: (data) => gunzipSync(data) },
  {
    name: 'zstd',
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    sized: true,
    decompress: (data) => zstdDecompressSync(data),
  },
  {
    name: 'lz4',
    magic: [0x02, 0x21, 0x4c, 0x18],
    sized: true,
    decompress: async (data) => await run(['lz4', '-dc'], { input: data }),
  },
  {
    name: 'xz',
    magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
    sized: true,
    decompress: async (data) => await run(['xz', '-dc', '--single-stream'], { input: data }),
  },
];

const startsWith = (data: Buffer, magic: number[]): boolean =>
  magic.every((byte, index) => data[index] === byte);

/**
 * The kernel ELF inside a bzImage, which QEMU boots without a decompressor in the guest. All but gzip payloads
 * carry the size of their content in 4 bytes at the end.
 */
export async function extractVmlinux(image: Buffer): Promise<Buffer> {
  if (image.length < 0x250 || image.toString('latin1', headerMagic, headerMagic + 4) !== 'HdrS') {
    throw new SetupError('The kernel image is not a bzImage');
  }
  const start = ((image[setupSectors] || 4) + 1) * 512 + image.readUInt32LE(payloadOffset);
  const payload = image.subarray(start, start + image.readUInt32LE(payloadLength));
  const format = decompressors.find(({ magic }) => startsWith(payload, magic));
  if (!format) {
    throw new SetupError(`The kernel is compressed in an unknown way (${payload.toString('hex', 0, 6)})`);
  }
  const data = format.sized ? payload.subarray(0, -4) : payload;
  const kernel = await format.decompress(data);
  if (format.sized && kernel.length !== payload.readUInt32LE(payload.length - 4)) {
    throw new SetupError(`The ${format.name} payload of the kernel image is damaged`);
  }
  if (!startsWith(kernel, [0x7f, 0x45, 0x4c, 0x46]))
    throw new SetupError('The kernel in the image is not an ELF file');
  return kernel;
}

/** A kernel module's ELF, out of `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`. */
export async function extractModule(file: string, data: Buffer): Promise<Buffer> {
  if (file.endsWith('.ko')) return data;
  const format = decompressors.find(({ magic }) => startsWith(data, magic));
  if (!format) throw new SetupError(`${file} is compressed in an unknown way`);
  return await format.decompress(data);
}
