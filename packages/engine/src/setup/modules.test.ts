import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { moduleClosure } from './modules.ts';

let dir: string;

const modinfo = (...fields: string[]): Buffer =>
  Buffer.from(`\x7fELF code\0${fields.join('\0')}\0`, 'latin1');

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'modules-'));
  await mkdir(path.join(dir, 'kernel/drivers'), { recursive: true });
  await writeFile(path.join(dir, 'modules.builtin'), 'kernel/fs/ext4/ext4.ko\nkernel/lib/crc-x.ko\n');
  const modules: Record<string, Buffer> = {
    'virtio-pci.ko': modinfo('depends=virtio,virtio-ring', 'name=virtio_pci'),
    'virtio.ko': modinfo('depends=virtio_ring'),
    'virtio_ring.ko': modinfo('depends='),
    'packed.ko.zst': zstdCompressSync(modinfo('depends=virtio,crc_x')),
    'soft.ko': modinfo('depends=', 'softdep=pre: nowhere virtio_ring post: packed'),
    'broken.ko': modinfo('depends=nowhere'),
  };
  for (const [name, data] of Object.entries(modules))
    await writeFile(path.join(dir, 'kernel/drivers', name), data);
});
after(() => rm(dir, { recursive: true }));

const names = async (...wanted: string[]): Promise<string[]> =>
  (await moduleClosure(dir, wanted)).map(({ name }) => name);

test('dependencies come before what needs them, each once, with names as the kernel writes them', async () => {
  assert.deepEqual(await names('virtio_pci', 'virtio'), ['virtio_ring', 'virtio', 'virtio_pci']);
});

test('what is built into the kernel is neither wanted nor loaded', async () => {
  assert.deepEqual(await names('ext4', 'packed'), ['virtio_ring', 'virtio', 'packed']);
});

test('a soft dependency is taken where it exists', async () => {
  assert.deepEqual(await names('soft'), ['virtio_ring', 'soft']);
});

test('a module that is missing is named together with what needs it', async () => {
  await assert.rejects(names('broken'), /no module nowhere, which broken needs/);
  await assert.rejects(names('squashfs'), /no module squashfs/);
});
