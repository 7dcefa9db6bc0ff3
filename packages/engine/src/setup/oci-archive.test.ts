import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { extract } from 'tar-stream';
import { writeOciArchive } from './oci-archive.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'oci-'));
});
after(() => rm(dir, { recursive: true }));

async function contents(archive: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const entry of createReadStream(archive).pipe(extract()))
    files.set(entry.header.name, await buffer(entry));
  return files;
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('an archive is complete, every blob has the digest it is named by, and its bytes can be made again', async () => {
  const layers = ['one', 'two', 'one'].map((name) => path.join(dir, name));
  for (const layer of layers) await writeFile(layer, `layer ${path.basename(layer)}`);
  const image = { reference: 'example:1', layers, config: { Cmd: ['sh'] } };
  const [first, second] = [path.join(dir, 'first.tar'), path.join(dir, 'second.tar')];
  await writeOciArchive(first, image);
  await writeOciArchive(second, image);
  assert.deepEqual(await readFile(first), await readFile(second));

  const files = await contents(first);
  for (const [name, data] of files) {
    if (/^blobs\/sha256\/./.test(name)) assert.equal(sha256(data), path.basename(name));
  }
  const json = (name: string) => JSON.parse(String(files.get(name)));
  const blob = ({ digest }: { digest: string }) => json(`blobs/sha256/${digest.slice(7)}`);
  const [described] = json('index.json').manifests;
  assert.equal(described.annotations['org.opencontainers.image.ref.name'], 'example:1');
  const manifest = blob(described);
  assert.equal(manifest.layers.length, 3);
  const config = blob(manifest.config);
  assert.deepEqual(config.config, { Cmd: ['sh'] });
  assert.deepEqual(
    config.rootfs.diff_ids,
    manifest.layers.map(({ digest }: { digest: string }) => digest),
  );
  for (const layer of manifest.layers) {
    assert.equal(files.get(`blobs/sha256/${layer.digest.slice(7)}`)?.length, layer.size);
  }
});
