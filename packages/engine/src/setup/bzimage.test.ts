import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { extractModule, extractVmlinux } from './bzimage.ts';
import { run } from './command.ts';

const kernel = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(5000, 'kernel')]);

function sized(payload: Buffer, size = kernel.length): Buffer {
  const end = Buffer.alloc(4);
  end.writeUInt32LE(size);
  return Buffer.concat([payload, end]);
}

/** A bzImage with one sector of set-up code and the payload 16 bytes into the protected-mode code. */
function bzImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(1024 + 16 + payload.length + 64);
  image[0x1f1] = 1;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(16, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  payload.copy(image, 1024 + 16);
  return image;
}

const xz = (): Promise<Buffer> => run(['xz', '-c'], { input: kernel });
const lz4 = (): Promise<Buffer> => run(['lz4', '-l', '-c'], { input: kernel });

test('the kernel is found in an image, however it is compressed', async () => {
  const payloads = [gzipSync(kernel), sized(zstdCompressSync(kernel)), sized(await xz()), sized(await lz4())];
  for (const payload of payloads) assert.deepEqual(await extractVmlinux(bzImage(payload)), kernel);
});

test('a damaged kernel image is refused', async () => {
  await assert.rejects(extractVmlinux(Buffer.alloc(4096)), /not a bzImage/);
  await assert.rejects(extractVmlinux(bzImage(Buffer.from('no compression'))), /unknown way/);
  await assert.rejects(
    extractVmlinux(bzImage(sized(zstdCompressSync(kernel), 17))),
    /zstd payload .* damaged/,
  );
  await assert.rejects(extractVmlinux(bzImage(gzipSync(Buffer.from('text')))), /not an ELF/);
});

test('modules are decompressed by what they are', async () => {
  assert.deepEqual(await extractModule('a.ko', kernel), kernel);
  assert.deepEqual(await extractModule('a.ko.zst', zstdCompressSync(kernel)), kernel);
  assert.deepEqual(await extractModule('a.ko.xz', await xz()), kernel);
});
