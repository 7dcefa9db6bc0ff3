import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isVivError } from '@vivarium/model';
import { digestOf } from '../digest.ts';
import { Blobs, layoutWith, run, temporaryDirectory } from '../fixtures/layout.ts';
import { openStore } from '../fixtures/store.ts';
import { type Item, tarOf } from '../fixtures/tar-of.ts';
import { hostArchitecture } from '../oci.ts';
import type { ImageStore } from '../store.ts';

const layers: Item[][] = [
  [{ name: 'etc/' }, { name: 'etc/base', content: 'base' }],
  [{ name: 'etc/' }, { name: 'etc/.wh.base' }, { name: 'top' }],
];

async function room(): Promise<{ dir: string; store: ImageStore } & AsyncDisposable> {
  const temporary = await temporaryDirectory();
  const store = await openStore({
    dir: path.join(temporary.dir, 'images'),
  });
  return { dir: temporary.dir, store, [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose]() };
}

async function tarred(layout: string, to: string): Promise<Buffer> {
  await run('tar', ['-C', layout, '-cf', to, ...(await readdir(layout))]);
  return readFile(to);
}

test('a layout directory, its tar, and the tar compressed give the same image', async () => {
  await using here = await room();
  const { layout, digest } = await layoutWith(path.join(here.dir, 'layout'), { layers }, 'example.org/app:1');
  const tar = await tarred(layout, path.join(here.dir, 'a.tar'));
  await writeFile(path.join(here.dir, 'a.tar.gz'), gzipSync(tar));
  await writeFile(path.join(here.dir, 'a.tar.zst'), zstdCompressSync(tar));
  for (const name of ['layout', 'a.tar', 'a.tar.gz', 'a.tar.zst']) {
    const [image] = await here.store.import(path.join(here.dir, name));
    assert.equal(image?.digest, digest, name);
    assert.deepEqual(image?.references, ['example.org/app:1']);
  }
  assert.equal((await here.store.disk(digest)).layers, 2);
  assert.deepEqual(await readdir(path.join(here.dir, 'images/tmp')), [], 'no temporary file is left');
});

test('the configuration of the image is what was built', async () => {
  await using here = await room();
  const config = {
    Entrypoint: ['/entry'],
    Cmd: null,
    Env: ['PATH=/bin', 'EMPTY=', 'EQUALS=a=b'],
    User: '1000:1000',
    WorkingDir: '/srv',
    StopSignal: 'SIGQUIT',
    ExposedPorts: { '80/tcp': {} },
    Labels: { a: 'b' },
  };
  const { layout } = await layoutWith(path.join(here.dir, 'l'), { layers, config });
  const [image] = await here.store.import(layout, { reference: 'app' });
  assert.deepEqual(image?.config, {
    entrypoint: ['/entry'],
    cmd: [],
    env: { PATH: '/bin', EMPTY: '', EQUALS: 'a=b' },
    user: '1000:1000',
    workingDir: '/srv',
    stopSignal: 'SIGQUIT',
    exposedPorts: ['80/tcp'],
    labels: { a: 'b' },
  });
  assert.equal(image?.createdAt, '2024-01-02T03:04:05.000Z');
  assert.deepEqual(image?.references, ['docker.io/library/app:latest']);
});

test("of many platforms this host's is taken, through indexes inside indexes", async () => {
  await using here = await room();
  const blobs = new Blobs();
  const other = blobs.image({ layers: [[{ name: 'other' }]], architecture: 's390x' });
  const mine = blobs.image({ layers });
  const attestation = { ...other, platform: { os: 'unknown', architecture: 'unknown' } };
  const inner = blobs.index([
    { ...other, platform: { os: 'linux', architecture: 's390x' } },
    attestation,
    { ...mine, platform: { os: 'linux', architecture: hostArchitecture() } },
  ]);
  const annotations = {
    'io.containerd.image.name': 'docker.io/library/multi:2',
    'org.opencontainers.image.ref.name': '2',
  };
  await blobs.writeLayout(path.join(here.dir, 'l'), [{ ...inner, annotations }]);
  const [image] = await here.store.import(path.join(here.dir, 'l'));
  assert.equal(image?.digest, mine.digest);
  assert.deepEqual(image?.references, ['docker.io/library/multi:2']);

  const foreign = new Blobs();
  const only = foreign.image({ layers, architecture: 's390x' });
  await foreign.writeLayout(path.join(here.dir, 'f'), [
    foreign.index([{ ...only, platform: { os: 'linux', architecture: 's390x' } }]),
  ]);
  await assert.rejects(
    here.store.import(path.join(here.dir, 'f')),
    (error) => isVivError(error, 'image_not_found') && /s390x/.test(error.message),
  );
  await foreign.writeLayout(path.join(here.dir, 'g'), [only]);
  await assert.rejects(
    here.store.import(path.join(here.dir, 'g')),
    (error) => isVivError(error, 'not_supported') && /s390x/.test(error.message),
  );
});

test('what skopeo writes for `docker load` is taken, and so is an old file with links between layers', async () => {
  await using here = await room();
  const { layout } = await layoutWith(path.join(here.dir, 'l'), { layers }, 'x:1');
  const archive = path.join(here.dir, 'saved.tar');
  await run('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    `oci:${layout}:x:1`,
    `docker-archive:${archive}:example.org/saved:2`,
  ]);
  const [image] = await here.store.import(archive);
  assert.deepEqual(image?.references, ['example.org/saved:2']);
  assert.equal(image?.layers.length, 2);

  const old = path.join(here.dir, 'old');
  const tar = tarOf([{ name: 'f', content: 'x' }]);
  const config = JSON.stringify({
    architecture: hostArchitecture(),
    os: 'linux',
    rootfs: { diff_ids: [digestOf(tar), digestOf(tar)] },
  });
  await mkdir(path.join(old, 'aaa'), { recursive: true });
  await mkdir(path.join(old, 'bbb'));
  await writeFile(path.join(old, 'aaa/layer.tar'), tar);
  await symlink('../aaa/layer.tar', path.join(old, 'bbb/layer.tar'));
  await writeFile(path.join(old, 'config.json'), config);
  const manifest = [
    { Config: 'config.json', RepoTags: ['old:1', 'old:2'], Layers: ['aaa/layer.tar', 'bbb/layer.tar'] },
  ];
  await writeFile(path.join(old, 'manifest.json'), JSON.stringify(manifest));
  await tarred(old, path.join(here.dir, 'old.tar'));
  const [saved] = await here.store.import(path.join(here.dir, 'old.tar'));
  assert.deepEqual(saved?.references, ['docker.io/library/old:1', 'docker.io/library/old:2']);
  assert.equal((await here.store.disk(saved?.digest ?? '')).layers, 2);
  const [again] = await here.store.import(path.join(here.dir, 'old.tar'));
  assert.equal(again?.digest, saved?.digest, 'the digest is always the same');
});

test('an archive cut short anywhere, or with a byte changed, is refused, and the store stays as it was', async () => {
  await using here = await room();
  const { layout } = await layoutWith(path.join(here.dir, 'l'), { layers }, 'x:1');
  const whole = await tarred(layout, path.join(here.dir, 'a.tar'));
  const codes = ['archive_invalid', 'image_invalid', 'image_hostile'] as const;
  const file = path.join(here.dir, 'broken.tar');
  for (let cut = 0; cut < whole.length - 10_240; cut += 1031) {
    await writeFile(file, whole.subarray(0, cut));
    await assert.rejects(here.store.import(file), (error) => isVivError(error, ...codes), `cut at ${cut}`);
  }
  for (const digest of (await readdir(path.join(layout, 'blobs/sha256'))).map((hex) => hex.slice(0, 8))) {
    const copy = path.join(here.dir, `copy-${digest}`);
    await cp(layout, copy, { recursive: true });
    const [blob] = (await readdir(path.join(copy, 'blobs/sha256'))).filter((hex) => hex.startsWith(digest));
    const data = await readFile(path.join(copy, 'blobs/sha256', blob ?? ''));
    data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 1;
    await writeFile(path.join(copy, 'blobs/sha256', blob ?? ''), data);
    await assert.rejects(here.store.import(copy), (error) => isVivError(error, ...codes), digest);
  }
  assert.deepEqual(here.store.list(), []);
  assert.deepEqual(await readdir(path.join(here.dir, 'images/tmp')), []);
  assert.deepEqual(await readdir(path.join(here.dir, 'images/manifests')), []);
});

test('what is no image archive is told from what is not there', async () => {
  await using here = await room();
  await writeFile(path.join(here.dir, 'text'), 'no tar at all');
  await writeFile(path.join(here.dir, 'other.tar'), tarOf([{ name: 'readme' }]));
  await writeFile(path.join(here.dir, 'empty'), '');
  for (const name of ['text', 'other.tar', 'empty', 'images']) {
    await assert.rejects(
      here.store.import(path.join(here.dir, name)),
      (error) => isVivError(error, 'archive_invalid'),
      name,
    );
  }
  await assert.rejects(here.store.import(path.join(here.dir, 'nothing')), (error) =>
    isVivError(error, 'path_not_found'),
  );
});

test('a layout whose files lead elsewhere is refused', async () => {
  await using here = await room();
  const { layout } = await layoutWith(path.join(here.dir, 'l'), { layers });
  const [blob = ''] = await readdir(path.join(layout, 'blobs/sha256'));
  const secret = path.join(here.dir, 'secret');
  await writeFile(secret, 'secret');
  const evil = path.join(here.dir, 'evil');
  await cp(layout, evil, { recursive: true });
  for (const name of await readdir(path.join(evil, 'blobs/sha256'))) {
    await run('ln', ['-sf', secret, path.join(evil, 'blobs/sha256', name || blob)]);
  }
  await assert.rejects(here.store.import(evil), (error) => isVivError(error, 'archive_hostile'));
});

test('a hostile layer is refused by name and nothing of it is kept', async () => {
  await using here = await room();
  const { layout } = await layoutWith(path.join(here.dir, 'l'), {
    layers: [layers[0] ?? [], [{ name: '../../etc/passwd', content: 'x' }]],
  });
  await assert.rejects(
    here.store.import(layout, { reference: 'evil' }),
    (error) => isVivError(error, 'image_hostile') && /passwd/.test(error.message),
  );
  assert.deepEqual(here.store.list(), []);
  assert.deepEqual(await readdir(path.join(here.dir, 'images/layers')), [], 'nor its good layer');
});

test('one name for an archive of several images is refused', async () => {
  await using here = await room();
  const blobs = new Blobs();
  const tagged = (name: string, items: Item[]) => ({
    ...blobs.image({ layers: [items] }),
    annotations: { 'org.opencontainers.image.ref.name': name },
  });
  await blobs.writeLayout(path.join(here.dir, 'l'), [
    tagged('a:1', [{ name: 'a' }]),
    tagged('b:1', [{ name: 'b' }]),
  ]);
  await assert.rejects(here.store.import(path.join(here.dir, 'l'), { reference: 'c' }), (error) =>
    isVivError(error, 'invalid_request'),
  );
  assert.equal((await here.store.import(path.join(here.dir, 'l'))).length, 2);
});
